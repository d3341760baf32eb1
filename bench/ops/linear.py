"""Operator `linear`: x Wᵀ + bias, the matrix products in which a decoder spends its time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, size
from attnlab.bench.contract.error_budget import Outputs
from attnlab.bench.contract.operator_spec import (
    NEEDLE_DRAW,
    NORMAL_DRAW,
    Operator,
    TensorSpec,
    columns,
    dynamic,
    static,
)
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared import wide_sums
from attnlab.bench.ops._shared.rowwise import (
    LAST_COLUMN_DROPPED,
    ROWS_SHIFTED,
    OutputTerms,
    budget,
    changed,
    draw,
    edges,
    in_float32,
    source_axis,
    weight_generator,
)
from attnlab.bench.ops._shared.typed import TypedCase

FULL_CHECK_OPERATIONS = 2_000_000_000  # beyond, rows and columns are sampled
FEWEST_SAMPLED = 64
NEEDLE_DRAWS = 2
UNEVEN = 0.0625  # how much the numbers of x differ where they are about one


def _read_bias(value: Any) -> bool:
    if value not in ("bias", "none", True, False):
        raise ImpossibleCase(f"got {value!r}; expected bias or none")
    return value in ("bias", True)


@dataclass(frozen=True)
class LinearCase(TypedCase):
    """One shape and dtype for linear."""

    kind = "linear"

    m: int = size("M", help="rows of x: tokens", default=1)
    n: int = size("N", help="rows of the weight: columns of the output", default=4096)
    k: int = size("K", help="columns of x and of the weight", default=4096)
    dtype: str = dtype_axis()
    bias: bool = axis(
        pattern="bias",
        read=_read_bias,
        write=lambda there: "bias" if there else "none",
        help="bias or none",
        default=False,
    )
    inputs: str = source_axis()

    @property
    def rows(self) -> int:
        return self.m


@dataclass(frozen=True)
class LinearInputs:
    """Inputs of linear: x [M, K], weight [N, K], bias [N] or None, in the case's dtype; the output is [M, N] in it too.

    Products are summed in float32 or better, parts of a sum included; float32 is not multiplied as TF32.
    """

    x: Tensor = dynamic("rows [M, K]")
    weight: Tensor = static("[N, K]")
    bias: Tensor | None = static("[N], or None", default=None)


def draw_rows(case: LinearCase, which: str, seed: int) -> Tensor:
    """x [M, K] in float32 on the CPU."""
    return draw(torch.Generator().manual_seed(seed), case.m, case.k, source=case.inputs, draw=which)


def redrawn(case: LinearCase, inputs: LinearInputs, seed: int) -> LinearInputs:
    """Other rows for the same weights."""
    return replace(inputs, x=draw_rows(case, NORMAL_DRAW, seed).to(inputs.x.device, case.torch_dtype))


def make_inputs(case: LinearCase, which: str, seed: int, device: torch.device) -> LinearInputs:
    """Seeded rows, drawn on the CPU, and weights so that an output is about as large as a number of x.

    Needles: by turns the columns of x at edges are larger, so that each output hangs on them; or partial sums are far
    larger than the sum, see `wide_sums`.
    """
    weights = weight_generator()
    weight = draw(weights, case.n, case.k, spread=case.k**-0.5)
    bias = draw(weights, case.n) if case.bias else None
    if which == NEEDLE_DRAW and seed % NEEDLE_DRAWS:
        x = 1.0 + UNEVEN * draw(torch.Generator().manual_seed(seed), case.m, case.k)
        x[1::2] *= -1.0
        ordered = wide_sums.ordered_share(case.k, case.dtype) * case.k**-0.5
        weight += ordered * wide_sums.signs(case.k, case.n, seed // NEEDLE_DRAWS)
    else:
        x = draw_rows(case, which, seed)
    x, weight = (t.to(device, case.torch_dtype) for t in (x, weight))
    return LinearInputs(x, weight, None if bias is None else bias.to(device, case.torch_dtype))


def outputs(case: LinearCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.m, case.n), case.torch_dtype),)


def operations(case: LinearCase) -> int:
    """FLOP: two for each multiply-add, one for each number that a bias is added to."""
    return case.m * case.n * (2 * case.k + case.bias)


def bytes_moved(case: LinearCase) -> int:
    """x, weight and bias read, the output written."""
    numbers = case.m * case.k + case.n * case.k + case.bias * case.n + case.m * case.n
    return numbers * case.element_bytes


@dataclass(frozen=True)
class OutputSample:
    """The rows and columns of the output that are compared."""

    rows: Tensor
    columns: Tensor


def sample(case: LinearCase) -> OutputSample:
    """All of a small case; else every edge and a seeded sample: first fewer columns, then fewer rows."""
    products = FULL_CHECK_OPERATIONS // (2 * case.k)
    columns = _some(case.n, products // case.m)
    return OutputSample(_some(case.m, products // len(columns)), columns)


def _some(length: int, wanted: int) -> Tensor:
    wanted = max(FEWEST_SAMPLED, wanted)
    if wanted >= length:
        return torch.arange(length)
    others = torch.randperm(length, generator=torch.Generator().manual_seed(length)).tolist()
    return torch.tensor(sorted(list(dict.fromkeys([*edges(length), *others]))[:wanted]))


def select(outputs: Outputs, taken: OutputSample) -> Outputs:
    return tuple(out[taken.rows.to(out.device)][:, taken.columns.to(out.device)] for out in outputs)


def compute(inputs: LinearInputs, taken: OutputSample, dtype: torch.dtype) -> OutputTerms:
    """The sampled outputs in `dtype`, and the root of the sum of squares of the products of each."""
    device = inputs.x.device
    rows, columns = taken.rows.to(device), taken.columns.to(device)
    x, weight = inputs.x[rows].to(dtype), inputs.weight[columns].to(dtype)
    out, squares = x @ weight.mT, x.square() @ weight.square().mT
    if inputs.bias is not None:
        bias = inputs.bias[columns].to(dtype)
        out, squares = out + bias, squares + bias.square()
    return OutputTerms((out,), (in_float32(squares.sqrt(), inputs.x.dtype),))


def without_last_product(inputs: LinearInputs) -> LinearInputs:
    x = inputs.x.clone()
    x[:, -1] = 0.0
    return replace(inputs, x=x)


LINEAR: Operator[LinearCase, LinearInputs] = Operator(
    name="linear",
    summary="x Wᵀ + bias",
    case_type=LinearCase,
    inputs_type=LinearInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=budget(
        compute,
        sample=sample,
        select=select,
        probes=(
            ROWS_SHIFTED,
            LAST_COLUMN_DROPPED,
            changed("last product dropped", compute, without_last_product),
            changed("bias forgotten", compute, lambda inputs: replace(inputs, bias=None), lambda case: case.bias),
        ),
    ),
    length_axis="m",
    needle_draws=NEEDLE_DRAWS,
    mixed=lambda case, inputs: columns(inputs, "x"),
    redrawn=redrawn,
)
registry.operators.add(LINEAR.name, LINEAR, __name__)
