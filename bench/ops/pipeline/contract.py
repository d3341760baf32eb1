"""Operator `pipeline`: a stack of MLP blocks cut into stages, a rank each, through which micro-batches go."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget
from attnlab.bench.contract.operator_spec import Fact, Operator, Ranks, TensorSpec, columns
from attnlab.bench.contract.ranks import whole_outputs
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared.ranks import ByPass, world_size
from attnlab.bench.ops._shared.rowwise import draw, weight_generator
from attnlab.bench.ops.pipeline import reference
from attnlab.bench.ops.pipeline.case import PipelineCase, PipelineInputs, PipelineShard

GRADIENT_SEED = 7_919  # beside a draw's own, for the gradient of the output
NAMES = ("out", "dx", "dup", "ddown")


def outputs(case: PipelineCase) -> tuple[TensorSpec, ...]:
    rows: tuple[int, ...] = (case.micro_batches, case.rows, case.hidden)
    shapes = (rows, rows, *_weights(case, case.layers)) if case.goes_back else (rows,)
    return tuple(TensorSpec(name, shape, case.torch_dtype) for name, shape in zip(NAMES, shapes, strict=False))


def _weights(case: PipelineCase, layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (layers, case.wide, case.hidden), (layers, case.hidden, case.wide)


def rank_outputs(case: PipelineCase, rank: int) -> tuple[TensorSpec, ...]:
    rows = (case.micro_batches, case.rows, case.hidden)
    given: dict[str, tuple[int, ...]] = {"out": rows} if rank == case.world_size - 1 else {}
    if case.goes_back:
        given |= {"dx": rows} if rank == 0 else {}
        given |= dict(zip(NAMES[2:], _weights(case, case.layers // case.world_size), strict=True))
    return tuple(TensorSpec(name, shape, case.torch_dtype) for name, shape in given.items())


def shard(case: PipelineCase, inputs: PipelineInputs, rank: int) -> PipelineShard:
    """A stage's layers; the micro-batches for the first one, the gradients of the output for the last."""
    count = case.layers // case.world_size
    own = slice(rank * count, (rank + 1) * count)
    return PipelineShard(
        x=inputs.x if rank == 0 else None,
        up=inputs.up[own],
        down=inputs.down[own],
        dout=inputs.dout if rank == case.world_size - 1 else None,
        rank=rank,
        world_size=case.world_size,
        micro_batches=case.micro_batches,
        rows=case.rows,
        goes_back=case.goes_back,
    )


def join(case: PipelineCase, outputs: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The last stage's output; with gradients the first one's dx, and those of all layers."""
    out = outputs[-1][0].clone()
    if not case.goes_back:
        return (out,)
    dx = outputs[0][-3].clone()
    dup, ddown = (torch.cat([stage[place] for stage in outputs]) for place in (-2, -1))
    return out, dx, dup, ddown


def make_inputs(case: PipelineCase, which: str, seed: int, device: torch.device) -> PipelineInputs:
    """Seeded micro-batches, drawn on the CPU, and weights of no seed; needles are larger at edges of columns."""
    generator, weights = torch.Generator().manual_seed(seed), weight_generator()
    x = draw(generator, case.micro_batches, case.rows, case.hidden, draw=which)
    up = draw(weights, case.layers, case.wide, case.hidden, spread=case.hidden**-0.5)
    down = draw(weights, case.layers, case.hidden, case.wide, spread=case.wide**-0.5)
    dout = draw(torch.Generator().manual_seed(seed + GRADIENT_SEED), case.micro_batches, case.rows, case.hidden)
    x, up, down, dout = (tensor.to(device, case.torch_dtype) for tensor in (x, up, down, dout))
    return PipelineInputs(x, up, down, dout if case.goes_back else None)


def operations(case: PipelineCase) -> int:
    """FLOP of all stages' products; two products for the gradients of each."""
    products = 4 * case.layers * case.micro_batches * case.rows * case.hidden * case.wide
    return products * (3 if case.goes_back else 1)


def bytes_moved(case: PipelineCase) -> int:
    """Weights read once; micro-batches read by the first stage and written by the last; gradients likewise."""
    weights = 2 * case.layers * case.hidden * case.wide
    rows = 2 * case.micro_batches * case.rows * case.hidden
    return (weights + rows) * (2 if case.goes_back else 1) * case.element_bytes


def facts(case: PipelineCase, seed: int, device: torch.device) -> tuple[Fact, ...]:
    """The bubble that the schedule has by itself."""
    return (Fact("ideal_bubble", "share", "lower", case.ideal_bubble),)


CHECK = ErrorBudget[PipelineCase, PipelineInputs](
    sample=lambda case: None,
    select=lambda outputs, taken: outputs,
    oracle=reference.oracle,
    yardstick=reference.yardstick,
    probes=reference.PROBES,
    dtype=lambda case: case.dtype,
    names=NAMES,
)


PIPELINE: Operator[PipelineCase, PipelineInputs] = Operator(
    name="pipeline",
    summary="a stack of MLP blocks in stages, a rank each, through which micro-batches go; with gradients",
    case_type=PipelineCase,
    inputs_type=PipelineInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=ByPass(CHECK),
    length_axis="micro_batches",
    headlines=("latency_ns", "bubble", "ideal_bubble", "share_of_ideal", "speedup", "error_of_budget"),
    facts=facts,
    results=whole_outputs,
    mixed=lambda case, inputs: columns(inputs, "x", "dout"),
    ranks=Ranks(world_size, shard, rank_outputs, join),
)
registry.operators.add(PIPELINE.name, PIPELINE, __name__)
