"""A stack of blocks and its gradients in plain torch: the float64 oracle, the yardstick, and faults as probes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import gelu

from attnlab.bench.contract.error_budget import Outputs, Probe, YardstickOutput, zeros
from attnlab.bench.ops._shared.rowwise import OutputTerms
from attnlab.bench.ops.pipeline.case import PipelineCase, PipelineInputs


def through(inputs: PipelineInputs, compute: torch.dtype, rounded: torch.dtype) -> OutputTerms:
    """In `compute`; what goes from product to product, and a micro-batch's part of a gradient, rounded to `rounded`."""

    def narrow(x: Tensor) -> Tensor:
        return x.to(rounded).to(compute)

    x, ups, downs = (t.to(compute) for t in (inputs.x, inputs.up, inputs.down))
    kept: list[tuple[Tensor, Tensor]] = []  # of each layer x [m, M, H] and what is before its gelu [m, M, 4H]
    terms = x
    for up, down in zip(ups, downs, strict=True):
        before = narrow(x @ up.mT)
        given = narrow(gelu(before))
        kept.append((x, before))
        terms = (x.square() + given.square() @ down.square().mT).sqrt()
        x = narrow(x + narrow(given @ down.mT))
    if inputs.dout is None:
        return OutputTerms((x,), (terms,))
    d = inputs.dout.to(compute)
    d_terms = d
    weights: list[tuple[Tensor, Tensor]] = []
    sizes: list[tuple[Tensor, Tensor]] = []
    for (at, before), up, down in zip(reversed(kept), reversed(ups), reversed(downs), strict=True):
        before = before.requires_grad_()
        with torch.enable_grad():
            after = gelu(before)
        given = narrow(after.detach())
        (slope,) = torch.autograd.grad(after, before, narrow(d @ down))
        slope, at, d_out = narrow(slope), at.detach(), d
        weights.append((narrow(slope.mT @ at).sum(0), narrow(d_out.mT @ given).sum(0)))
        squares = (slope.square().mT @ at.square(), d_out.square().mT @ given.square())
        sizes.append((squares[0].sum(0).sqrt(), squares[1].sum(0).sqrt()))
        d_terms = (d.square() + slope.square() @ up.square()).sqrt()
        d = narrow(d + narrow(slope @ up))
    (dup, ddown), (up_sizes, down_sizes) = (
        tuple(torch.stack(list(reversed(column))) for column in zip(*pairs, strict=True)) for pairs in (weights, sizes)
    )
    return OutputTerms((x.detach(), d, dup, ddown), (terms.detach(), d_terms, up_sizes, down_sizes))


def oracle(case: PipelineCase, inputs: PipelineInputs, taken: None) -> Outputs:
    return through(inputs, torch.float64, torch.float64).outputs


def yardstick(case: PipelineCase, inputs: PipelineInputs, taken: None) -> YardstickOutput:
    """What careful code gets: products in float32, all between them rounded."""
    reached = through(inputs, torch.float32, case.torch_dtype)
    return YardstickOutput(tuple(x.to(case.torch_dtype) for x in reached.outputs), reached.terms)


def _stage_skipped(case: PipelineCase, inputs: PipelineInputs, taken: None, expected: Outputs) -> Outputs:
    """The last stage passes on what it is given."""
    kept = case.layers - case.layers // case.world_size
    fewer = replace(inputs, up=inputs.up[:kept], down=inputs.down[:kept], dout=None)
    return (*through(fewer, torch.float64, torch.float64).outputs, *expected[1:])


def _moved_on(case: PipelineCase, inputs: PipelineInputs, taken: None, expected: Outputs) -> Outputs:
    """Each micro-batch in the place of the next."""
    return (expected[0].roll(1, 0), *expected[1:])


def _last_dropped(case: PipelineCase, inputs: PipelineInputs, taken: None, expected: Outputs) -> Outputs:
    """Nothing of the last micro-batch, in gradients of weights neither."""
    if inputs.dout is None:
        return (_zeroed(expected[0]),)
    dout = inputs.dout.clone()
    dout[-1] = 0.0
    _, dx, dup, ddown = oracle(case, replace(inputs, dout=dout), taken)
    return _zeroed(expected[0]), dx, dup, ddown


def _zeroed(out: Tensor) -> Tensor:
    out = out.clone()
    out[-1] = 0.0
    return out


def _stale(case: PipelineCase, inputs: PipelineInputs, taken: None, expected: Outputs) -> Outputs:
    """The last micro-batch is what the one before was."""
    out = expected[0].clone()
    out[-1] = out[-2]
    return (out, *expected[1:])


def _several(case: PipelineCase) -> bool:
    return case.micro_batches > 1


PROBES: tuple[Probe[PipelineCase, PipelineInputs], ...] = (
    Probe("zeros", lambda case: True, zeros),
    Probe("a stage skipped", lambda case: case.world_size > 1, _stage_skipped),
    Probe("micro-batches in wrong order", _several, _moved_on),
    Probe("last micro-batch dropped", lambda case: True, _last_dropped),
    Probe("stale activations", _several, _stale),
)
