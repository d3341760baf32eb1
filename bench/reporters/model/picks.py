"""Which implementation to use for which case: the fastest that passed, where intervals tell it apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.results import Result

FEW = 3  # fewer samples say nothing of how times scatter
FAR, VERY_FAR = 1.5, 3.0


@dataclass(frozen=True)
class Pick:
    """The fastest results of one case.

    best: by median. level: the others that are not told apart from it, as intervals overlap or samples
    are too few. next: the fastest of the rest. uncompared: how many were timed by another method.
    """

    case: CaseRef
    best: Result
    level: tuple[Result, ...]
    next: Result | None
    uncompared: int

    @property
    def alone(self) -> bool:
        """Nothing else was timed on this case."""
        return not self.level and self.next is None

    @property
    def told_apart(self) -> bool:
        return not self.level and self.next is not None

    @property
    def lead(self) -> float | None:
        """The next one's median over the best's; None unless the intervals are apart."""
        if not self.told_apart or self.next is None:
            return None
        return (self.next.median_ns or 0.0) / (self.best.median_ns or float("inf"))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.best.implementation, *(result.implementation for result in self.level))


def pick(case: CaseRef, results: Iterable[Result]) -> Pick | None:
    """None where nothing that passed was timed."""
    timed = sorted((r for r in results if r.timed), key=lambda r: r.median_ns or 0.0)
    if not timed:
        return None
    method = Counter(r.method for r in timed).most_common(1)[0][0]
    compared = [r for r in timed if r.method == method]
    best, others = compared[0], compared[1:]
    level = tuple(r for r in others if not _apart(best, r))
    beyond = next((r for r in others if _apart(best, r)), None)
    return Pick(case, best, level, beyond, len(timed) - len(compared))


def _apart(fast: Result, slow: Result) -> bool:
    """Whether the intervals are apart; the samples' range stands for an interval that is missing.

    A range of few samples covers the median less often than an interval does, so then the medians have
    to be far apart too.
    """
    if not _bounds(fast)[1] < _bounds(slow)[0]:
        return False
    unsure = [len(r.samples_ns) for r in (fast, slow) if r.interval_ns is None]
    far = 1.0 if not unsure else FAR if min(unsure) >= FEW else VERY_FAR
    return (slow.median_ns or 0.0) >= far * (fast.median_ns or 0.0)


def _bounds(result: Result) -> tuple[float, float]:
    """The interval, else the samples' range, else everything."""
    samples = result.samples_ns
    known = (min(samples), max(samples)) if samples else (float("-inf"), float("inf"))
    return result.interval_ns or known


def picks(cases: Sequence[CaseRef], results: Sequence[Result]) -> tuple[Pick, ...]:
    by_case: dict[str, list[Result]] = {}
    for result in results:
        by_case.setdefault(result.case.case_id, []).append(result)
    found = (pick(case, by_case.get(case.case_id, ())) for case in cases)
    return tuple(p for p in found if p is not None)
