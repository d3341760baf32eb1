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
from attnlab.bench.llm.generation.stored import SAME
from attnlab.bench.llm.quantization.activations import quantised
from attnlab.bench.llm.quantization.choosing import known_methods, quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import WeightFormat, known_weight_formats, weight_format
from attnlab.bench.llm.quantization.weight import QuantizedWeight
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
RTN = "rtn"  # the method of old: each number by itself
CALIBRATION_ROWS, CALIBRATION_SEED = 512, (1 << 32) + 1  # no seed of a draw
UNEVEN = 0.0625  # how much the numbers of x differ where they are about one


def _read_bias(value: Any) -> bool:
    if value not in ("bias", "none", True, False):
        raise ImpossibleCase(f"got {value!r}; expected bias or none")
    return value in ("bias", True)


def _read_format(value: Any) -> str:
    return SAME if value == SAME else weight_format(str(value)).name


def _read_method(value: Any) -> str:
    return quantisation_method(str(value)).name


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
    format: str = axis(
        prefix="f_",
        pattern="|".join((SAME, *known_weight_formats())),
        read=_read_format,
        default=SAME,
        help=f"how the weight is stored: {SAME}, in the dtype; {', '.join(known_weight_formats())}",
        opt_in=True,
    )
    method: str = axis(
        prefix="by_",
        pattern="|".join(known_methods()),
        read=_read_method,
        default=RTN,
        help=f"how its codes are chosen: {', '.join(known_methods())}",
    )

    def validate(self) -> None:
        if self.format == SAME:
            if self.method != RTN:
                raise ImpossibleCase(f"got method={self.method} with format={SAME}; expected a format to choose for")
            return
        format = weight_format(self.format)
        reason = format.codec.refuses(self.n, self.k) or quantisation_method(self.method).refuses(format)
        if reason is not None:
            raise ImpossibleCase(f"got format={self.format} by method={self.method}: {reason}")

    @property
    def rows(self) -> int:
        return self.m

    @property
    def stored_as(self) -> WeightFormat | None:
        """The format of the weight; None where it is in the dtype."""
        return None if self.format == SAME else weight_format(self.format)


@dataclass(frozen=True)
class LinearInputs:
    """Inputs of linear: x [M, K], weight [N, K], bias [N] or None, in the case's dtype; the output is [M, N] in it too.

    Products are summed in float32 or better, parts of a sum included; float32 is not multiplied as TF32. Of a case with
    a format the weight is `quantized`, and `weight` has no rows. What is multiplied is then what its codes stand for,
    in float32 or as exactly as the dtype of x allows, with x as the format's rule for activations has it.
    """

    x: Tensor = dynamic("rows [M, K]")
    weight: Tensor = static("[N, K]; [0, K] where it is quantised")
    bias: Tensor | None = static("[N], or None", default=None)
    quantized: QuantizedWeight | None = static("the weight of a case with a format", default=None)


def linear_inputs(x: Tensor, weight: Tensor | QuantizedWeight, bias: Tensor | None = None) -> LinearInputs:
    """Inputs of rows and a weight, stored either way."""
    if isinstance(weight, QuantizedWeight):
        return LinearInputs(x, x.new_empty(0, weight.shape[1]), bias, weight)
    return LinearInputs(x, weight, bias)


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
    x, bias = x.to(device, case.torch_dtype), None if bias is None else bias.to(device, case.torch_dtype)
    format = case.stored_as
    if format is None:
        return LinearInputs(x, weight.to(device, case.torch_dtype), bias)
    chosen = quantise(weight.to(case.torch_dtype), format, quantisation_method(case.method), calibration_rows(case))
    if chosen.column_scale is not None:
        x = (x.float() / chosen.column_scale.to(device)).to(case.torch_dtype)
    return linear_inputs(x, chosen.weight.to(device), bias)


def calibration_rows(case: LinearCase) -> Tensor | None:
    """What a method that looks at activations is shown: rows [T, K] of the case's source, which no call is given."""
    if not quantisation_method(case.method).calibrated:
        return None
    rows = torch.Generator().manual_seed(CALIBRATION_SEED)
    return draw(rows, CALIBRATION_ROWS, case.k, source=case.inputs)


def outputs(case: LinearCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.m, case.n), case.torch_dtype),)


def operations(case: LinearCase) -> int:
    """FLOP: two for each multiply-add, one for each number that a bias is added to."""
    return case.m * case.n * (2 * case.k + case.bias)


def bytes_moved(case: LinearCase) -> int:
    """x, weight as it is stored and bias read, the output written."""
    numbers = case.m * case.k + case.bias * case.n + case.m * case.n
    format, dtype = case.stored_as, case.torch_dtype
    weight = case.n * case.k * dtype.itemsize if format is None else format.nbytes(case.n, case.k, dtype)
    return numbers * case.element_bytes + weight


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
    x, weight = inputs.x[rows].to(dtype), inputs.weight
    if inputs.quantized is not None:
        x = quantised(inputs.x, inputs.quantized.format.activations, dtype)[rows]
        weight = inputs.quantized.dequantised()
    weight = weight[columns].to(dtype)
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
