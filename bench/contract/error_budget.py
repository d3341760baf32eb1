"""The check of numerical operators: an error budget measured by a yardstick, for the case and its dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from attnlab.bench.contract.wrong import Wrong, row_of
from attnlab.bench.errors import MeasurementError
from attnlab.bench.store.deviations import Deviation, relative_errors

C = TypeVar("C")
I = TypeVar("I")  # noqa: E741

Outputs = tuple[Tensor, ...]

MARGIN = 2.0  # honest code may round once more often than the yardstick, not more
MARGIN_OF_LARGEST = 2.25  # the largest of some thousand errors is a matter of luck, as their root mean square is not
EPSILON = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # unit roundoff
FLOOR_ROUNDOFFS = {"float32": 128.0, "float16": 1.0, "bfloat16": 1.0}  # float32: orders of sums differ
CAP_ROUNDOFFS = {"float32": 4096.0, "float16": 8.0, "bfloat16": 8.0}  # beyond: the yardstick itself is broken
MAX_OVER_RMS = 6.0  # the largest of many rounding errors over their root mean square, for the floor
LUCK = 4.0  # the floor is higher by LUCK / √n, n weighty numbers: a yardstick may round a few of them luckily


@dataclass(frozen=True)
class YardstickOutput:
    """What the yardstick computes.

    terms: for each element of an output, the root of the sum of squares of the terms that it adds up,
    which is about its size if their signs are random. Where they cancel, an output may be as small as
    it likes, and the rounding of honest code is not.
    """

    outputs: Outputs
    terms: Outputs


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
    """Allowed is twice the yardstick's error against the float64 oracle, or a small floor if that is larger; of the
    largest error 2.25 times.

    It limits the root-mean-square error, over the root mean square of the oracle's output or of its
    terms, whichever is larger; and the largest error, over the same or over its element's own terms,
    for a large element is rounded more. sample(case) says which part is compared,
    select(outputs, sample) takes that part, and oracle and yardstick compute that part alone.

    roundings: checks of code that rounds more than the contract lets it, by the name by which it declares that: oracle
    and yardstick round the same, so that no budget is wider. slack: how far each element may be off beside, where what
    is rounded lies so near to a boundary that float32 decides. cap: how large the yardstick's error may be; None, or
    what gives None: as the dtype has it. exact: whether outputs are moved and never rounded: no error is allowed.
    """

    sample: Callable[[C], Any]
    select: Callable[[Outputs, Any], Outputs]
    oracle: Callable[[C, I, Any], Outputs]
    yardstick: Callable[[C, I, Any], YardstickOutput]
    probes: tuple[Probe[Any, Any], ...]
    dtype: Callable[[C], str]
    names: tuple[str, ...] = ("out",)
    roundings: Mapping[str, ErrorBudget[C, I]] = field(default_factory=dict)
    slack: Callable[[C, I, Any], Outputs] | None = None
    cap: Callable[[C], float | None] | None = None
    exact: bool = False

    def expect(self, case: C, inputs: I) -> BudgetExpectation:
        """The oracle's result and the budget for one set of inputs; raises MeasurementError above the cap."""
        sample = self.sample(case)
        expected = self.oracle(case, inputs, sample)
        reached = self.yardstick(case, inputs, sample)
        dtype = self.dtype(case)
        own = None if self.cap is None else self.cap(case)
        cap = CAP_ROUNDOFFS[dtype] * EPSILON[dtype] if own is None else own
        slack = self.slack(case, inputs, sample) if self.slack else (None,) * len(expected)
        scales, allowed = [], []
        parts = zip(self.names, reached.outputs, expected, reached.terms, slack, strict=True)
        for name, got, want, terms, off in parts:
            scales.append(Scale.of(want, terms, off))
            rms, largest = scales[-1].errors(got, want)
            if not rms <= cap:
                raise MeasurementError(
                    f"the yardstick's error on {name} is {rms:.2e} where at most {cap:.2e} was expected of "
                    f"{dtype}: this case cannot be judged"
                )
            floor = FLOOR_ROUNDOFFS[dtype] * EPSILON[dtype] * (1 + LUCK / math.sqrt(weighty_numbers(want)))
            if self.exact:
                allowed.append((0.0, 0.0))
                continue
            allowed.append((max(MARGIN * rms, floor), max(MARGIN_OF_LARGEST * largest, MAX_OVER_RMS * floor)))
        judged = BudgetExpectation(self.names, self.select, sample, expected, tuple(scales), tuple(allowed))
        applying = [probe for probe in self.probes if probe.applies(case)]
        applying = applying if any(want.numel() for want in expected) else []  # of nothing, nothing can be wrong
        blunt = [p.name for p in applying if judged.accepts(p.outputs(case, inputs, sample, expected))]
        return replace(judged, probes=tuple(p.name for p in applying), blunt=tuple(blunt))


@dataclass(frozen=True)
class Scale:
    """What the errors of an output are taken over: its size, or an element's own terms if they are larger.

    slack: what each element may be off that is no error.
    """

    size: float
    elements: Tensor
    slack: Tensor

    @classmethod
    def of(cls, want: Tensor, terms: Tensor, slack: Tensor | None = None) -> Scale:
        """A size of 0, of an output that is zeros by definition, counts as 1."""
        size = max(root_mean_square(want), root_mean_square(terms)) or 1.0
        return cls(size, terms.float().clamp_min(size), torch.zeros((), device=want.device) if slack is None else slack)

    def errors(self, got: Tensor, want: Tensor) -> tuple[float, float]:
        """Root-mean-square and largest error; NaN in, NaN out."""
        difference = ((got.to(torch.float64) - want.to(torch.float64)).abs() - self.slack).clamp_min(0.0)
        if not difference.numel():
            return 0.0, 0.0
        return root_mean_square(difference) / self.size, float((difference / self.elements).max())


@dataclass(frozen=True)
class BudgetExpectation:
    """The expectation of one set of inputs under an error budget."""

    names: tuple[str, ...]
    select: Callable[[Outputs, Any], Outputs]
    sample: Any
    expected: Outputs
    scales: tuple[Scale, ...]
    allowed: tuple[tuple[float, float], ...]
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        """Compare whole outputs; only the sampled part is looked at."""
        return self._deviations(self.select(tuple(outputs), self.sample))

    def wrong(self, outputs: Sequence[Tensor]) -> Wrong | None:
        """The first row with an error beyond what one element may have, else, where all together have, the worst one.

        Places are those in the whole output, of which a part may be compared.
        """
        taken = self.select(tuple(outputs), self.sample)
        numbered = tuple(torch.arange(out.numel(), device=out.device).view(out.shape) for out in outputs)
        places = self.select(numbered, self.sample)
        for name, whole, got, want, scale, place, (rms, largest) in zip(
            self.names, outputs, taken, self.expected, self.scales, places, self.allowed, strict=True
        ):
            if all(deviation.within for deviation in errors_of(name, scale, got, want, rms, largest)):
                continue
            errors = (got.double() - want.double()).abs() / scale.elements.double()
            off = ~(errors <= largest)
            if not bool(off.any()):
                off = errors == errors.max()
            return row_of(name, got, want, off, place, errors, largest, whole.shape)
        return None

    def accepts(self, sampled: Outputs) -> bool:
        return all(deviation.within for deviation in self._deviations(sampled))

    def _deviations(self, outputs: Outputs) -> list[Deviation]:
        parts = zip(self.names, self.scales, outputs, self.expected, self.allowed, strict=True)
        return [
            deviation
            for name, scale, got, want, (rms, largest) in parts
            for deviation in errors_of(name, scale, got, want, rms, largest)
        ]


def errors_of(
    name: str, scale: Scale, got: Tensor, want: Tensor, rms_allowed: float, largest_allowed: float
) -> tuple[Deviation, Deviation]:
    """Of one output."""
    rms, largest = scale.errors(got, want)
    return relative_errors(name, rms, rms_allowed, largest, largest_allowed)


def weighty_numbers(x: Tensor) -> float:
    """How many numbers make up the root mean square: all of a normal draw, few where some are far larger than the rest.

    Three times the square of the sum of squares over the sum of fourth powers: the kurtosis of a normal draw is 3.
    """
    most = max(1, x.numel())
    scaled = x.double() / (float(x.abs().max()) or 1.0) if x.numel() else x
    fourth = float(scaled.pow(4).sum())
    return min(most, 3 * float(scaled.square().sum()) ** 2 / fourth) if fourth else most


def root_mean_square(x: Tensor) -> float:
    """Of nothing it is 0."""
    return float(x.to(torch.float64).square().mean().sqrt()) if x.numel() else 0.0
