"""A plugin that brings an operator of its own, `toy` (twice its input), with a metric and a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from attnlab.bench import (
    Case,
    Deviation,
    Metric,
    Operator,
    Row,
    TensorSpec,
    axis,
    dynamic,
    implements,
    registry,
)


@dataclass(frozen=True)
class ToyCase(Case):
    """An operator need not have a dtype, nor any axis that attention has."""

    kind: ClassVar[str] = "toy"

    n: int = axis(prefix="N", pattern=r"\d+", read=int, help="elements", default=8, shown=True)


@dataclass(frozen=True)
class ToyInputs:
    """x [N] float32."""

    x: Tensor = dynamic("numbers [N]")


@dataclass(frozen=True)
class Doubled:
    """Expects exactly twice the input."""

    expected: tuple[Tensor, ...]
    probes: tuple[str, ...] = ("zeros",)
    blunt: tuple[str, ...] = ()

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        error = float((outputs[0] - self.expected[0]).abs().max())
        return [Deviation("largest error", error, 1e-6, output="out")]


class ToyCheck:
    def expect(self, case: ToyCase, inputs: ToyInputs) -> Doubled:
        return Doubled((inputs.x * 2,))


def make_inputs(case: ToyCase, draw: str, seed: int, device: torch.device) -> ToyInputs:
    generator = torch.Generator().manual_seed(seed)
    return ToyInputs(torch.randn(case.n, generator=generator).to(device))


TOY: Operator[ToyCase, ToyInputs] = Operator(
    name="toy",
    summary="twice the input",
    case_type=ToyCase,
    inputs_type=ToyInputs,
    outputs=lambda case: (TensorSpec("out", (case.n,), torch.float32),),
    make_inputs=make_inputs,
    operations=lambda case: case.n,
    bytes_moved=lambda case: 8 * case.n,
    check=ToyCheck(),
    length_axis="n",
)
registry.operators.add(TOY.name, TOY, __name__)


@implements("toy", name="plus")
def plus(inputs: ToyInputs) -> Tensor:
    """Adds the input to itself."""
    return inputs.x + inputs.x


@implements("toy", name="times")
def times(inputs: ToyInputs) -> Tensor:
    """Multiplies by two."""
    return inputs.x * 2


def calls_per_second(row: Row) -> float | None:
    median_ns = row.measurement.median_ns
    return None if median_ns is None else 1e9 / median_ns


registry.metrics.add(
    "calls_per_s",
    Metric(
        name="calls_per_s",
        label="calls",
        unit="1/s",
        direction="higher",
        summary="Calls that fit into a second.",
        formula="1 / latency",
        compute=calls_per_second,
    ),
    __name__,
)
registry.suites.add("toys", Path(__file__).with_name("toys.toml"), __name__)
