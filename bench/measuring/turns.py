"""Those of a case that come near its fastest take turns in fresh processes: how one differs from the next is seen.

Within one process a time can be known to a thousandth, and come out percents off in the next, where code, stacks and
heap lie elsewhere. So which of two is faster is decided by rounds, each of them a fresh process of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from attnlab.bench.measuring.common_clock import common_method, under_common_clocks
from attnlab.bench.measuring.interleaving import interleave
from attnlab.bench.measuring.isolation import Worker
from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS
from attnlab.bench.measuring.turn_ratios import busy
from attnlab.bench.store.records import Measurement, Outcome, Turn

NEAR = 1.25  # times the fastest: those beyond are told apart without turns
NEAR_IN_NOISE = 5.0  # times the fastest, where the machine was busy during one or the other
BURSTS = 4  # of each in a round; even, so that each goes first as often as last
WRONG = (Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE, Outcome.WRONG_VALUES)

Key = tuple[str, str, str]


def contenders(measured: Iterable[Measurement]) -> list[list[Measurement]]:
    """Of each case with more than one, those whose time is near the least; the measurements as they were given."""
    cases: dict[tuple[str, str], list[Measurement]] = {}
    for m in measured:
        if m.timing is not None and m.median_ns and m.paced is None and m.timing.stopped != STOPPED_BY_ROUNDS:
            cases.setdefault((m.operator, m.case_id), []).append(m)
    found = []
    for group in cases.values():
        common = common_method(group)
        shown = {m.key: m.median_ns or 0.0 for m in under_common_clocks(group)}
        best = min(group, key=lambda m: shown[m.key])
        near = [m for m in group if m is best or shown[m.key] <= _reach(m, best) * shown[best.key]]
        if common is not None and len(near) > 1:
            found.append(near)
    return found


def _reach(one: Measurement, best: Measurement) -> float:
    return NEAR_IN_NOISE if busy(one) or busy(best) else NEAR


def lacking(cases: Iterable[Sequence[Measurement]], rounds: int) -> list[list[Measurement]]:
    """The cases of which not all have taken so many turns."""
    return [list(case) for case in cases if any(len(m.turns) < rounds for m in case)]


@dataclass
class Round:
    """One round: fresh workers, made by `hire` from what they are to measure, alive together, for all cases one by one.

    `tell` is told which case has its turn.
    """

    number: int
    hire: Callable[[Measurement], Worker]
    tell: Callable[[Measurement], None] = lambda measurement: None

    def take(self, cases: Sequence[Sequence[Measurement]]) -> dict[Key, Measurement]:
        """Every contender's measurement in its fresh process, or what became of that."""
        workers: dict[tuple[str, str], Worker] = {}
        try:
            for m in (m for case in cases for m in case):
                if (m.operator, m.implementation) not in workers:
                    worker = workers[m.operator, m.implementation] = self.hire(m)
                    worker.start()
            for worker in workers.values():
                worker.wait()
            found: dict[Key, Measurement] = {}
            for case in cases:
                found |= self._case(case, workers)
            return found
        finally:
            for worker in workers.values():
                worker.close()

    def _case(self, case: Sequence[Measurement], workers: Mapping[tuple[str, str], Worker]) -> dict[Key, Measurement]:
        self.tell(case[0])
        taken = take_in_turn([(m, workers[m.operator, m.implementation]) for m in case], BURSTS, self.number)
        return {m.key: found for m, found in zip(case, taken, strict=True)}


def take_in_turn(members: Sequence[tuple[Measurement, Worker]], bursts: int, start: int = 0) -> list[Measurement]:
    """What workers that are alive together measure of one case, so many bursts each, in turn; in the members' order.

    start: who goes first in one is last in the next. What fails is out.
    """
    found: dict[int, Measurement] = {}
    ready: list[int] = []
    for _, place in interleave(range(len(members)), rounds=1, start=start):
        m, worker = members[place]
        found[place] = worker.open(m.case_id, _blank(m))
        if found[place].outcome is Outcome.PASSED:
            ready.append(place)
    for _, place in interleave(ready, bursts):
        m, worker = members[place]
        found[place] = worker.burst(m.case_id, _blank(m))
        if found[place].outcome is not Outcome.PASSED:
            ready.remove(place)
    for place in ready:
        m, worker = members[place]
        found[place] = worker.finish(m.case_id, _blank(m))
    return [found[place] for place in range(len(members))]


def _blank(m: Measurement) -> Measurement:
    """What is known beforehand."""
    blank = m.fail(m.reason, m.detail, Outcome.UNAVAILABLE)
    return replace(blank, check=None, configuration=None, launches=(), turns=(), flags=(), phases_ns={})


def with_turn(m: Measurement, number: int, found: Measurement) -> Measurement:
    """The measurement with one more turn. A result that was wrong in its turn is wrong; a lost process is told."""
    if found.outcome is Outcome.PASSED and found.launches:
        return replace(m, turns=(*m.turns, Turn(number, found.launches[0])))
    why = found.reason or found.untimed or found.outcome.value
    reason = f"in round {number} of its turns in fresh processes: {why}"
    if found.outcome in WRONG:
        return replace(m.fail(reason, m.detail, found.outcome), check=found.check or m.check, launches=(), turns=())
    return replace(m, flags=(*m.flags, f"a turn is missing ({reason})"))
