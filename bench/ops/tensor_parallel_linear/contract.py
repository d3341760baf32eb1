"""Operator `tensor_parallel_linear`: an MLP whose first layer is cut by columns, and whose second by rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, Ranks, TensorSpec, columns
from attnlab.bench.contract.ranks import whole_outputs
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared.ranks import ByPass, world_size
from attnlab.bench.ops._shared.rowwise import NEEDLE, draw, weight_generator
from attnlab.bench.ops.tensor_parallel_linear import reference
from attnlab.bench.ops.tensor_parallel_linear.case import (
    TensorParallelCase,
    TensorParallelInputs,
    TensorParallelShard,
)

NEEDLE_DRAWS = 2
GRADIENT_SEED = 7_919  # beside a draw's own, for the gradient of the output
NAMES = ("out", "dx", "dup", "ddown")


def outputs(case: TensorParallelCase) -> tuple[TensorSpec, ...]:
    every = (case.world_size, case.rows, case.hidden)
    first, second = (case.parts, case.intermediate, case.hidden), (case.hidden, case.intermediate)
    shapes = (every, every, first, second) if case.goes_back else (every,)
    return tuple(TensorSpec(name, shape, case.torch_dtype) for name, shape in zip(NAMES, shapes, strict=False))


def rank_outputs(case: TensorParallelCase, rank: int) -> tuple[TensorSpec, ...]:
    columns = case.intermediate // case.world_size
    every, first, second = (case.rows, case.hidden), (case.parts, columns, case.hidden), (case.hidden, columns)
    shapes = (every, every, first, second) if case.goes_back else (every,)
    return tuple(TensorSpec(name, shape, case.torch_dtype) for name, shape in zip(NAMES, shapes, strict=False))


def shard(case: TensorParallelCase, inputs: TensorParallelInputs, rank: int) -> TensorParallelShard:
    """A rank's columns of the first layers and rows of the second."""
    width = case.intermediate // case.world_size
    own = slice(rank * width, (rank + 1) * width)
    return TensorParallelShard(
        x=inputs.x,
        up=inputs.up[:, own],
        down=inputs.down[:, own],
        up_bias=None if inputs.up_bias is None else inputs.up_bias[:, own],
        down_bias=inputs.down_bias,
        dout=inputs.dout,
        activation=inputs.activation,
        rank=rank,
        world_size=case.world_size,
    )


def join(case: TensorParallelCase, outputs: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What every rank has, one after another; gradients of weights side by side."""
    out, *grads = zip(*outputs, strict=True)
    if not grads:
        return (torch.stack(out),)
    dx, dup, ddown = grads
    return torch.stack(out), torch.stack(dx), torch.cat(dup, 1), torch.cat(ddown, 1)


def make_inputs(case: TensorParallelCase, which: str, seed: int, device: torch.device) -> TensorParallelInputs:
    """Seeded rows, drawn on the CPU, and weights of no seed so that an output is about as large as a number of x.

    Needles: by turns the columns of x at edges are larger, or the columns between the layers at borders of ranks.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = weight_generator()
    at_borders = which == NEEDLE_DRAW and seed % NEEDLE_DRAWS == 1
    x = draw(generator, case.rows, case.hidden, draw="drawn" if at_borders else which)
    up = draw(weights, case.parts, case.intermediate, case.hidden, spread=case.hidden**-0.5)
    down = draw(weights, case.hidden, case.intermediate, spread=case.intermediate**-0.5)
    up_bias, down_bias = draw(weights, case.parts, case.intermediate), draw(weights, case.hidden)
    if at_borders:
        width = case.intermediate // case.world_size
        starts = torch.arange(0, case.intermediate, width)
        down[:, torch.cat([starts, starts + width - 1]).unique()] *= NEEDLE
    dout = draw(torch.Generator().manual_seed(seed + GRADIENT_SEED), case.rows, case.hidden)

    def put(tensor: Tensor) -> Tensor:
        return tensor.to(device, case.torch_dtype)

    return TensorParallelInputs(
        x=put(x),
        up=put(up),
        down=put(down),
        up_bias=put(up_bias) if case.has_bias else None,
        down_bias=put(down_bias) if case.has_bias else None,
        dout=put(dout) if case.goes_back else None,
        activation=case.activation,
    )


def operations(case: TensorParallelCase) -> int:
    """FLOP of all ranks' products; two products for the gradients of each."""
    products = 2 * case.rows * case.hidden * case.intermediate * (case.parts + 1)
    return products * (3 if case.goes_back else 1)


def bytes_moved(case: TensorParallelCase) -> int:
    """Weights read once by all ranks together, rows read and written by each; gradients likewise."""
    weights = (case.parts + 1) * case.hidden * case.intermediate
    biases = case.has_bias * (case.parts * case.intermediate + case.world_size * case.hidden)
    rows = 2 * case.world_size * case.rows * case.hidden
    more = weights + rows if case.goes_back else 0
    return (weights + biases + rows + more) * case.element_bytes


CHECK = ErrorBudget[TensorParallelCase, TensorParallelInputs](
    sample=reference.sample,
    select=reference.select,
    oracle=reference.oracle,
    yardstick=reference.yardstick,
    probes=reference.PROBES,
    dtype=lambda case: case.dtype,
    names=NAMES,
)


TENSOR_PARALLEL_LINEAR: Operator[TensorParallelCase, TensorParallelInputs] = Operator(
    name="tensor_parallel_linear",
    summary="an MLP on several ranks: columns of its first layers, rows of its second, and one sum; with gradients",
    case_type=TensorParallelCase,
    inputs_type=TensorParallelInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=ByPass(CHECK),
    length_axis="rows",
    headlines=("latency_ns", "rank_skew_ns", "share_of_ideal", "speedup", "error_of_budget"),
    needle_draws=NEEDLE_DRAWS,
    results=whole_outputs,
    mixed=lambda case, inputs: columns(inputs, "x", "dout"),
    ranks=Ranks(world_size, shard, rank_outputs, join),
)
registry.operators.add(TENSOR_PARALLEL_LINEAR.name, TENSOR_PARALLEL_LINEAR, __name__)
