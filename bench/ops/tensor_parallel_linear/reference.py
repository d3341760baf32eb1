"""An MLP and its gradients in plain torch: the float64 oracle, the yardstick, and faults of ranks as probes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from attnlab.bench.contract.error_budget import Outputs, Probe, YardstickOutput, zeros
from attnlab.bench.ops._shared.rowwise import sample_rows
from attnlab.bench.ops.tensor_parallel_linear.case import SWIGLU, TensorParallelCase, TensorParallelInputs


def activated(before: Tensor, activation: str) -> Tensor:
    """[C, M, I] -> [M, I]."""
    if activation == SWIGLU:
        gate, up = before
        gated: Tensor = functional.silu(gate) * up
        return gated
    return functional.gelu(before[0])


@dataclass(frozen=True)
class Through:
    """One way through the MLP: what ranks add up, and the gradients.

    partial [p, M, H], out [M, H]; with dout dx_partial [p, M, H], dx [M, H], dup [C, I, H], ddown [H, I].
    """

    partial: Tensor
    out: Tensor
    dx_partial: Tensor | None = None
    dx: Tensor | None = None
    dup: Tensor | None = None
    ddown: Tensor | None = None

    def everywhere(self, ranks: int) -> Outputs:
        """The outputs of the contract, with what every rank has repeated for each."""
        found = [self.out.expand(ranks, -1, -1)]
        if self.dx is not None and self.dup is not None and self.ddown is not None:
            found += [self.dx.expand(ranks, -1, -1), self.dup, self.ddown]
        return tuple(found)


def through(
    inputs: TensorParallelInputs, rows: Tensor, ranks: int, compute: torch.dtype, rounded: torch.dtype
) -> Through:
    """In `compute`, with what is between layers and each rank's part of a sum rounded to `rounded`."""

    def narrow(x: Tensor) -> Tensor:
        return x.to(rounded).to(compute)

    def added(parts: Tensor) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total = narrow(total + part)
        return total

    x, up, down = (t.to(compute) for t in (inputs.x[rows.to(inputs.x.device)], inputs.up, inputs.down))
    before = x @ up.mT  # [C, M, I]
    if inputs.up_bias is not None:
        before = before + inputs.up_bias.to(compute)[:, None]
    before = narrow(before).requires_grad_(inputs.dout is not None)
    with torch.enable_grad():
        after = activated(before, inputs.activation)
    given = narrow(after.detach())
    partial = narrow(torch.stack([a @ w.mT for a, w in zip(given.chunk(ranks, 1), down.chunk(ranks, 1), strict=True)]))
    out = added(partial)
    if inputs.down_bias is not None:
        out = narrow(out + inputs.down_bias.to(compute))
    if inputs.dout is None:
        return Through(partial, out)
    dout = inputs.dout.to(compute)
    (dbefore,) = torch.autograd.grad(after, before, narrow(dout @ down))
    dbefore = narrow(dbefore)
    shares = zip(dbefore.chunk(ranks, 2), up.chunk(ranks, 1), strict=True)
    dx_partial = narrow(torch.stack([(d @ w).sum(0) for d, w in shares]))
    return Through(partial, out, dx_partial, added(dx_partial), narrow(dbefore.mT @ x), narrow(dout.mT @ given))


def terms(inputs: TensorParallelInputs, rows: Tensor, ranks: int) -> Outputs:
    """The root of the sum of squares of what each element adds up, as the outputs are."""
    x, up, down = (t.float() for t in (inputs.x[rows.to(inputs.x.device)], inputs.up, inputs.down))
    before = x @ up.mT
    if inputs.up_bias is not None:
        before = before + inputs.up_bias.float()[:, None]
    before.requires_grad_(inputs.dout is not None)
    with torch.enable_grad():
        after = activated(before, inputs.activation)
    squares = after.detach().square() @ down.square().mT
    if inputs.down_bias is not None:
        squares = squares + inputs.down_bias.float().square()
    if inputs.dout is None:
        return Through(squares, squares.sqrt()).everywhere(ranks)
    dout = inputs.dout.float()
    (dbefore,) = torch.autograd.grad(after, before, dout @ down)
    dx = (dbefore.square() @ up.square()).sum(0).sqrt()
    dup = (dbefore.square().mT @ x.square()).sqrt()
    ddown = (dout.square().mT @ after.detach().square()).sqrt()
    return Through(squares, squares.sqrt(), squares, dx, dup, ddown).everywhere(ranks)


def sample(case: TensorParallelCase) -> Tensor:
    """Rows that are compared: all where weights have gradients, which are sums over them; else edges and some more."""
    return torch.arange(case.rows) if case.goes_back else sample_rows(case.rows, case.world_size * case.hidden)


def select(outputs: Outputs, rows: Tensor) -> Outputs:
    """The sampled rows of the output; with gradients every row is one."""
    return tuple(out.index_select(1, rows.to(out.device)) for out in outputs) if len(outputs) == 1 else outputs


def oracle(case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor) -> Outputs:
    return _oracle(case, inputs, rows).everywhere(case.world_size)


def _oracle(case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor) -> Through:
    return through(inputs, rows, case.world_size, torch.float64, torch.float64)


def yardstick(case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor) -> YardstickOutput:
    """What careful code gets: products in float32, all between them rounded, parts of ranks too."""
    reached = through(inputs, rows, case.world_size, torch.float32, case.torch_dtype).everywhere(case.world_size)
    return YardstickOutput(tuple(x.to(case.torch_dtype) for x in reached), terms(inputs, rows, case.world_size))


def _own_part_only(case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor, expected: Outputs) -> Outputs:
    """Each rank keeps its part of the output."""
    bias = 0.0 if inputs.down_bias is None else inputs.down_bias.double()
    return (_oracle(case, inputs, rows).partial + bias, *expected[1:])


def _bias_everywhere(
    case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor, expected: Outputs
) -> Outputs:
    """Each rank adds the bias to its part."""
    assert inputs.down_bias is not None
    more = replace(inputs, down_bias=inputs.down_bias.double() * case.world_size)
    return oracle(case, more, rows)


def _gradient_of_own_part(
    case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor, expected: Outputs
) -> Outputs:
    """The gradient by x is not summed over ranks."""
    part = _oracle(case, inputs, rows).dx_partial
    assert part is not None
    return (expected[0], part, *expected[2:])


def _first_part_twice(
    case: TensorParallelCase, inputs: TensorParallelInputs, rows: Tensor, expected: Outputs
) -> Outputs:
    """The first rank's part in the place of the last one's."""
    partial = _oracle(case, inputs, rows).partial
    return (expected[0] + partial[0] - partial[-1], *expected[1:])


def _shared(case: TensorParallelCase) -> bool:
    return case.world_size > 1


PROBES: tuple[Probe[TensorParallelCase, TensorParallelInputs], ...] = (
    Probe("zeros", lambda case: True, zeros),
    Probe("ranks not summed", _shared, _own_part_only),
    Probe("a rank's part twice", _shared, _first_part_twice),
    Probe("bias on every rank", lambda case: _shared(case) and case.has_bias, _bias_everywhere),
    Probe("gradient not summed", lambda case: _shared(case) and case.goes_back, _gradient_of_own_part),
)
