"""The check of numerical operators: an error budget measured by a yardstick, for the case and its dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from attnlab.bench.contract import Figures
from attnlab.bench.errors import MeasurementError

C = TypeVar("C")
I = TypeVar("I")  # noqa: E741

Outputs = tuple[Tensor, ...]

MARGIN = 2.0  # honest code may round once more often than the yardstick, not more
EPSILON = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # unit roundoff, from IEEE 754 and bfloat16
FLOOR_ROUNDOFFS = {"float32": 64.0, "float16": 0.5, "bfloat16": 0.5}  # orders of summation differ in float32
CAP_ROUNDOFFS = {"float32": 4096.0, "float16": 8.0, "bfloat16": 8.0}  # beyond: the yardstick itself is broken
MAX_OVER_RMS = 4.0  # the largest of many rounding errors over their root mean square, for the floor


@dataclass(frozen=True)
class Probe(Generic[C, I]):
    """A wrong result that the check of a case must reject.

    applies(case): whether it can be told apart at all. outputs(case, inputs, sample, expected): the
    wrong outputs, sampled; `expected` are the right ones.
    """

    name: str
    applies: Callable[[C], bool]
    outputs: Callable[[C, I, Any, Outputs], Outputs]


def zeros(case: Any, inputs: Any, sample: Any, expected: Outputs) -> Outputs:
    """The probe that every operator has: an output that was never computed."""
    return tuple(torch.zeros_like(out) for out in expected)


def heads_permuted(case: Any, inputs: Any, sample: Any, expected: Outputs) -> Outputs:
    """Outputs whose heads, in dimension 1, are in reverse order."""
    return tuple(out.flip(1) for out in expected)


@dataclass(frozen=True)
class ErrorBudget(Generic[C, I]):
    """Allowed is twice the yardstick's error against the float64 oracle, or a small floor if that is larger.

    Both the root-mean-square and the largest error count, over the root mean square of the oracle's
    output. sample(case) says which part is compared, select(outputs, sample) takes that part, and
    oracle and yardstick compute that part alone.
    """

    sample: Callable[[C], Any]
    select: Callable[[Outputs, Any], Outputs]
    oracle: Callable[[C, I, Any], Outputs]
    yardstick: Callable[[C, I, Any], Outputs]
    probes: tuple[Probe[Any, Any], ...]
    dtype: Callable[[C], str]
    names: tuple[str, ...] = ("out",)
    cap: float = 1.0  # a multiple of CAP_ROUNDOFFS, for operators that cancel

    def expect(self, case: C, inputs: I) -> Budgeted:
        """The oracle's result and the budget for one set of inputs; raises MeasurementError above the cap."""
        sample = self.sample(case)
        expected = self.oracle(case, inputs, sample)
        reached = self.yardstick(case, inputs, sample)
        dtype = self.dtype(case)
        floor = FLOOR_ROUNDOFFS[dtype] * EPSILON[dtype]
        cap = self.cap * CAP_ROUNDOFFS[dtype] * EPSILON[dtype]
        allowed = []
        for name, got, want in zip(self.names, reached, expected, strict=True):
            rms, largest = relative_errors(got, want)
            if not rms <= cap:
                raise MeasurementError(
                    f"the yardstick's error on {name} is {rms:.2e} where at most {cap:.2e} was expected of {dtype}: "
                    f"this case cannot be judged"
                )
            allowed.append((max(MARGIN * rms, floor), max(MARGIN * largest, MAX_OVER_RMS * floor)))
        judged = Budgeted(self.names, self.select, sample, expected, tuple(allowed))
        applying = [probe for probe in self.probes if probe.applies(case)]
        blunt = [p.name for p in applying if judged.accepts(p.outputs(case, inputs, sample, expected))]
        return replace(judged, probes=tuple(p.name for p in applying), blunt=tuple(blunt))

    def parts(self, expectation: Budgeted) -> dict[str, Any]:
        return {name: getattr(expectation, name) for name in ("expected", "allowed", "probes", "blunt")}

    def restore(self, case: C, parts: dict[str, Any]) -> Budgeted:
        return Budgeted(names=self.names, select=self.select, sample=self.sample(case), **parts)


@dataclass(frozen=True)
class Budgeted:
    """The expectation of one set of inputs under an error budget."""

    names: tuple[str, ...]
    select: Callable[[Outputs, Any], Outputs]
    sample: Any
    expected: Outputs
    allowed: tuple[tuple[float, float], ...]
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()

    def judge(self, outputs: Sequence[Tensor]) -> list[Figures]:
        """Compare whole outputs; only the sampled part is looked at."""
        return self._figures(self.select(tuple(outputs), self.sample))

    def accepts(self, sampled: Outputs) -> bool:
        return all(figure.within for figure in self._figures(sampled))

    def _figures(self, outputs: Outputs) -> list[Figures]:
        figures = []
        for name, got, want, (rms, largest) in zip(self.names, outputs, self.expected, self.allowed, strict=True):
            rms_error, max_error = relative_errors(got, want)
            figures.append(Figures(name, rms_error, rms, max_error, largest))
        return figures


def relative_errors(got: Tensor, want: Tensor) -> tuple[float, float]:
    """Root-mean-square and largest error over the root mean square of `want`; NaN in, NaN out.

    Where `want` is all zeros, the errors themselves, so that exact zeros have no error.
    """
    difference = got.to(torch.float64) - want.to(torch.float64)
    size = want.to(torch.float64).square().mean().sqrt()
    unit = size if size > 0 else torch.ones_like(size)
    return float(difference.square().mean().sqrt() / unit), float(difference.abs().max() / unit)
