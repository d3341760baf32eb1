"""What the parts of a decoder share as operators on rows: axes, sampled rows, needles, probes, the error budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, size
from attnlab.bench.contract.error_budget import (
    EPSILON,
    FLOOR_ROUNDOFFS,
    ErrorBudget,
    Outputs,
    Probe,
    YardstickOutput,
    zeros,
)
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, TensorSpec
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.attention_data import OUTLIER_CHANNELS, OUTLIER_FACTOR
from attnlab.bench.ops._shared.typed import TypedCase

C = TypeVar("C", bound=TypedCase)
I = TypeVar("I")  # noqa: E741

FULL_CHECK_NUMBERS = 1 << 24  # of an output: beyond, rows are sampled
FEWEST_ROWS = 64
WEIGHT_SEED = (1 << 32) - 1  # no seed of a draw; a generator on the CPU looks at 32 bits alone
TILES = tuple(1 << n for n in range(4, 14))  # rows or columns that kernels take at a time
NEEDLE = 8.0  # what a number at an edge is multiplied by


def choice(*names: str, help: str, default: str) -> Any:
    """An axis with a few named values, of which the first letters need no prefix in an id."""

    def read(value: Any) -> str:
        if value not in names:
            raise ImpossibleCase(f"got {value!r}; expected one of {', '.join(names)}")
        return str(value)

    return axis(pattern="|".join(names), read=read, help=f"{help}: {', '.join(names)}", default=default)


def source_axis() -> Any:
    """Where numbers come from: `outliers` makes a few columns twenty times as large, as real models have them."""
    return choice("normal", "outliers", help="source of data", default="normal")


class RowCase(TypedCase):
    """A case of an operator whose output is a matrix, each row of which it takes by itself."""

    rows: int
    width: int
    inputs: str

    @property
    def numbers(self) -> int:
        """Of the output."""
        return self.rows * self.width


@dataclass(frozen=True)
class MatrixCase(RowCase):
    """One shape, dtype and source of data."""

    rows: int = size("M", help="rows", default=1024)
    width: int = size("N", help="columns of the output", default=4096)
    dtype: str = dtype_axis()
    inputs: str = source_axis()


def one_output(case: RowCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.rows, case.width), case.torch_dtype),)


@dataclass(frozen=True)
class OutputTerms:
    """Outputs, and for each of their elements the root of the sum of squares of the terms that it adds up."""

    outputs: Outputs
    terms: Outputs


def budget(
    compute: Callable[[I, Any, torch.dtype], OutputTerms],
    *,
    sample: Callable[[C], Any],
    select: Callable[[Outputs, Any], Outputs],
    probes: Sequence[Probe[Any, Any]],
    names: tuple[str, ...] = ("out",),
) -> ErrorBudget[C, I]:
    """The check by one formula: `compute(inputs, sample, dtype)` in float64 is the oracle.

    In float32, with the outputs rounded to the case's dtype, it is the yardstick.
    """

    def yardstick(case: C, inputs: I, taken: Any) -> YardstickOutput:
        computed = compute(inputs, taken, torch.float32)
        return YardstickOutput(tuple(out.to(case.torch_dtype) for out in computed.outputs), computed.terms)

    return ErrorBudget(
        sample=sample,
        select=select,
        oracle=lambda case, inputs, taken: compute(inputs, taken, torch.float64).outputs,
        yardstick=yardstick,
        probes=(Probe("zeros", lambda case: True, zeros), *probes),
        dtype=lambda case: case.dtype,
        names=names,
    )


def in_float32(terms: Tensor, dtype: torch.dtype) -> Tensor:
    """Terms that are added up in float32 whatever the dtype: they count for as much as float32 may round them.

    Without this a narrow sum of terms that cancel would be let through, as if each term had been rounded to the dtype.
    """
    name = named(dtype)
    return terms * (FLOOR_ROUNDOFFS["float32"] * EPSILON["float32"] / (FLOOR_ROUNDOFFS[name] * EPSILON[name]))


def named(dtype: torch.dtype) -> str:
    """Such as `bfloat16`."""
    return str(dtype).removeprefix("torch.")


def row_budget(
    compute: Callable[[I, Tensor, torch.dtype], OutputTerms], *probes: Probe[Any, Any]
) -> ErrorBudget[RowCase, I]:
    """`budget` for one output [M, N], of which rows are sampled, with the probes that every such operator has."""
    return budget(
        compute,
        sample=lambda case: sample_rows(case.rows, case.width),
        select=lambda outputs, rows: tuple(out.index_select(0, rows.to(out.device)) for out in outputs),
        probes=(ROWS_SHIFTED, LAST_COLUMN_DROPPED, *probes),
    )


def changed(
    name: str,
    compute: Callable[[I, Any, torch.dtype], OutputTerms],
    change: Callable[[I], I],
    applies: Callable[[Any], bool] = lambda case: True,
) -> Probe[Any, I]:
    """The probe of an operator that takes other inputs than it was given."""
    return Probe(
        name, applies, lambda case, inputs, taken, expected: compute(change(inputs), taken, torch.float64).outputs
    )


def _shifted(case: Any, inputs: Any, taken: Any, expected: Outputs) -> Outputs:
    return tuple(out.roll(1, 0) for out in expected)


def _without_last_column(case: Any, inputs: Any, taken: Any, expected: Outputs) -> Outputs:
    dropped = tuple(out.clone() for out in expected)
    for out in dropped:
        out[..., -1] = 0.0
    return dropped


ROWS_SHIFTED: Probe[Any, Any] = Probe("rows shifted", lambda case: case.rows > 1, _shifted)
LAST_COLUMN_DROPPED: Probe[Any, Any] = Probe("last column dropped", lambda case: True, _without_last_column)


def edges(length: int) -> list[int]:
    """The first and the last index, and those on both sides of where the last tile of each size begins."""
    starts = {(length - 1) // tile * tile for tile in TILES}
    return sorted({0, length - 1} | {start + step for start in starts for step in (-1, 0) if start + step >= 0})


def sample_rows(rows: int, numbers_a_row: int) -> Tensor:
    """The rows to compare: all of a small output; else those at edges and a seeded sample of the rest."""
    wanted = max(FEWEST_ROWS, FULL_CHECK_NUMBERS // numbers_a_row)
    if wanted >= rows:
        return torch.arange(rows)
    others = torch.randperm(rows, generator=torch.Generator().manual_seed(rows)).tolist()
    return torch.tensor(sorted(list(dict.fromkeys([*edges(rows), *others]))[:wanted]))


def weight_generator() -> torch.Generator:
    """Weights are those of no seed: a redraw leaves them as they are, and what is expected must not depend on whose."""
    return torch.Generator().manual_seed(WEIGHT_SEED)


def draw(
    generator: torch.Generator, *shape: int, source: str = "normal", draw: str = "drawn", spread: float = 1.0
) -> Tensor:
    """float32 numbers on the CPU; of outliers a few columns, and of needles those at edges, are larger."""
    numbers = torch.randn(*shape, generator=generator) * spread
    if draw == NEEDLE_DRAW:
        numbers[..., edges(shape[-1])] *= NEEDLE
    elif source == "outliers":
        numbers[..., torch.randperm(shape[-1], generator=generator)[:OUTLIER_CHANNELS]] *= OUTLIER_FACTOR
    return numbers
