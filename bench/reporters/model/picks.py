"""Which implementation to use for which case: the fastest that passed, where fresh processes tell it apart.

An interval of one process says nothing of how the next would come out. So two that are near each other are told apart
by the rounds of fresh processes in which they took turns, and by nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from attnlab.bench.llm.generation.decoding import is_synthetic
from attnlab.bench.measuring import turn_ratios
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.stats.rounds import Ratio

LEAST_GAIN = 1.02  # times as fast in rounds of fresh processes: less is nobody's reason to choose
LEAST_GAIN_OF_ONE_PROCESS = 1.05  # where rounds are of one process each, and what the next would add is not in them
FEW = 3  # fewer samples say nothing of how times scatter
FAR, VERY_FAR = 1.25, 3.0  # times as fast, without turns: with samples enough, and with few

Turned = Mapping[int, Ratio | None]
"""Times over the fastest's from turns in fresh processes, by the result's `id`."""


class Placing(Enum):
    """How a result stands to the fastest of its case; the value says why."""

    BEHIND = "slower"
    LEVEL = "no difference in fresh processes"
    UNTESTED = "took no turns in fresh processes"
    UNCLEAR = "the machine was busy"


@dataclass(frozen=True)
class Pick:
    """The fastest results of one case.

    best: in fresh processes where turns were taken, else by median. level: the others that are not told apart from it;
    why: what keeps them from it, () where nothing does. next: the fastest of the rest, and lead how many times its time
    is that of the best. rounds: of fresh processes in which the best took turns. uncompared: how many were timed by
    another method.
    """

    case: CaseRef
    best: Result
    level: tuple[Result, ...]
    why: tuple[Placing, ...]
    next: Result | None
    next_ratio: float | None
    rounds: int
    uncompared: int

    @property
    def alone(self) -> bool:
        """Nothing else was timed on this case."""
        return not self.level and self.next is None

    @property
    def told_apart(self) -> bool:
        return not self.level and self.next is not None

    @property
    def unclear(self) -> bool:
        """The machine was busy, and noise cannot be seen through."""
        return Placing.UNCLEAR in self.why

    @property
    def fastest(self) -> tuple[str, ...]:
        """The best and those not told apart from it; none where nothing else was timed, or noise hides which it is."""
        return () if self.alone or self.unclear else self.names

    @property
    def lead(self) -> float | None:
        """The next one's time over the best's; None unless they are told apart."""
        return self.next_ratio if self.told_apart else None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.best.implementation, *(result.implementation for result in self.level))


def pick(case: CaseRef, results: Iterable[Result]) -> Pick | None:
    """None where nothing that passed was timed; what failed requests had less to do, and is not set against others.

    Of guesses that no drafter made nothing is the fastest.
    """
    whole = (r for r in results if r.passed and r.timed and not r.number("failed_requests"))
    timed = sorted(filter(_is_ranked, whole), key=lambda r: r.median_ns or 0.0)
    if not timed:
        return None
    method = Counter(r.method for r in timed).most_common(1)[0][0]
    compared = [r for r in timed if r.method == method]
    turned = _turned(compared[0], compared)
    best = min(compared, key=lambda r: _ratio(compared[0], r, turned))
    if best is not compared[0]:
        turned = _turned(best, compared)
    others = [(r, _standing(best, r, turned[id(r)])) for r in compared if r is not best]
    level = tuple(r for r, standing in others if standing is not Placing.BEHIND)
    beyond = next((r for r, standing in others if standing is Placing.BEHIND), None)
    why = tuple(dict.fromkeys(standing for _, standing in others if standing is not Placing.BEHIND))
    ratio = None if beyond is None else _ratio(best, beyond, turned)
    rounds = len(best.row.measurement.turns)
    return Pick(case, best, level, why, beyond, ratio, rounds, len(timed) - len(compared))


def _is_ranked(result: Result) -> bool:
    return not is_synthetic(result.row.measurement.case.get("decoding"))


def _turned(best: Result, results: Sequence[Result]) -> Turned:
    measured = best.row.measurement
    return {id(r): turn_ratios.turned_ratio(r.row.measurement, measured) for r in results if r is not best}


def _ratio(best: Result, other: Result, turned: Turned) -> float:
    """Its time over the best's: that of turns in fresh processes where both took them, else of medians."""
    if other is best:
        return 1.0
    found = turned[id(other)]
    return found.median if found else (other.median_ns or 0.0) / (best.median_ns or float("inf"))


def _standing(best: Result, other: Result, found: Ratio | None) -> Placing:
    """How `other` stands to `best`: by turns where they were taken, else only where it is far behind."""
    pair = (best.row.measurement, other.row.measurement)
    if found is not None and found.low is not None:
        if any(turn_ratios.busy_in_turns(m) for m in pair):
            return Placing.UNCLEAR
        return Placing.BEHIND if found.low > 1 and found.median >= LEAST_GAIN else Placing.LEVEL
    if any(turn_ratios.busy(m) for m in pair):
        return Placing.UNCLEAR
    if (found := turn_ratios.in_one_process(pair[1], pair[0])) is not None and found.low is not None:
        return Placing.BEHIND if found.low > 1 and found.median >= LEAST_GAIN_OF_ONE_PROCESS else Placing.LEVEL
    return Placing.BEHIND if _far(best, other) else Placing.UNTESTED


def _far(fast: Result, slow: Result) -> bool:
    """Whether medians are far apart and intervals are; the samples' range stands for an interval that is missing."""
    if not _bounds(fast)[1] < _bounds(slow)[0]:
        return False
    unsure = [len(r.samples_ns) for r in (fast, slow) if r.interval_ns is None]
    far = VERY_FAR if unsure and min(unsure) < FEW else FAR
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
