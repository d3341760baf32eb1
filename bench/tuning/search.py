"""One search on one case: candidates race against the built-in configuration, and the best meet in fresh processes.

Each has a process of its own, in which it is checked as in any run before it is timed. In a heat a few candidates and
the built-in configuration take bursts in turn, so that what disturbs one disturbs all. Who is hopeless (`stats.racing`)
is out. The best of the rest take turns with the built-in one in rounds of fresh processes: they say what is faster.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from attnlab.bench import units
from attnlab.bench.analysis.landscape import burst_pair, paired_logs
from attnlab.bench.contract.axes import Case
from attnlab.bench.measuring.common_clock import LATENCY
from attnlab.bench.measuring.interleaving import interleave
from attnlab.bench.measuring.runner import Hands, Sink, Staff
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.turns import Round, with_turn
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.stats.racing import Race, Rule
from attnlab.bench.store.records import Burst, Measurement, Outcome, Series
from attnlab.bench.store.tuning import REFERENCE, TunedCase, Tuning
from attnlab.bench.text import brief

HEAT = 4  # candidates whose processes are alive together
FINALISTS = 3  # beside the built-in one


class ReferenceLost(Exception):
    """The built-in configuration cannot be timed, so that nothing can be set against it."""


@dataclass
class _Runner:
    """A candidate in a heat: its worker, its bursts, and its log-ratios to the built-in one so far."""

    name: str
    hands: Hands
    bursts: list[Burst] = field(default_factory=list)
    references: list[Series] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


@dataclass
class CaseSearch:
    """A search on one case. What is measured goes to `sink` at once; `tell` gets a line of each candidate.

    before: what an earlier part of the search measured, which is not measured again.
    """

    tuning: Tuning
    case: TunedCase
    parsed: Case
    staff: Staff
    sink: Sink
    tell: Callable[[str], None] = lambda line: None
    before: Sequence[Measurement] = ()

    def __post_init__(self) -> None:
        rule = Rule(len(self.case.candidates) - 1, self.tuning.alpha, self.tuning.margin)
        self._race = Race(rule)
        self._known = {m.implementation: m for m in self.before if m.case_id == self.case.case_id}

    def run(self) -> None:
        """Search to the end. Raises ReferenceLost where the built-in configuration fails."""
        for m in self._known.values():
            self._remember(m)
        waiting = [name for name in self.case.candidates if name not in self._known]
        if waiting:
            self._race_all([name for name in waiting if name != self.case.default])
        self._final()

    def _remember(self, m: Measurement) -> None:
        logs = paired_logs(m) if m.outcome is Outcome.PASSED else []
        if len(logs) in self._race.rule.looks.pairs:
            self._race.look({m.implementation: logs})

    def _race_all(self, names: Sequence[str]) -> None:
        """All heats, beside one process of the built-in configuration."""
        hands = self._hands(self.case.default)
        with closing(hands.worker):
            hands.worker.start()
            opened = self._opened(hands)
            if opened.outcome is not Outcome.PASSED or opened.untimed is not None:
                raise self._lost(opened)
            for number in range(0 if names else self._race.rule.rounds):  # all others were measured before
                self._round(number, [], hands)
            for first in range(0, len(names), HEAT):
                self._heat(names[first : first + HEAT], hands)
            self._keep(hands.worker.finish(self.case.case_id, hands.blank))

    def _heat(self, names: Sequence[str], reference: Hands) -> None:
        hired = {name: self._hands(name) for name in names}
        try:
            for hands in hired.values():
                hands.worker.start()
            for hands in hired.values():
                hands.worker.wait()
            alive = []
            for name, hands in hired.items():
                opened = self._opened(hands)
                if opened.outcome is Outcome.PASSED:
                    alive.append(_Runner(name, hands))
                else:
                    self._keep(opened)
            for number in range(self._race.rule.rounds if alive else 0):
                self._round(number, alive, reference)
                if number + 1 in self._race.rule.looks.pairs:
                    self._look(alive)
            for one in alive:
                self._end(one, None)
        finally:
            for hands in hired.values():
                hands.worker.close()

    def _round(self, number: int, alive: list[_Runner], reference: Hands) -> None:
        """One burst of each and of the built-in configuration, in an order that is turned about each time."""
        taken: dict[str, Burst] = {}
        base: Series | None = None
        for _, one in interleave([None, *alive], rounds=1, start=number):
            hands = reference if one is None else one.hands
            measured = hands.worker.burst(self.case.case_id, hands.blank)
            if measured.outcome is Outcome.PASSED and measured.launches:
                burst = measured.launches[-1].bursts[-1]
                if one is None:
                    base = next(series for series in burst.series if series.quantity == LATENCY)
                else:
                    taken[one.name] = burst
            elif one is None:
                raise self._lost(measured)
            else:
                alive.remove(one)
                self._keep(measured)
        assert base is not None
        for one in alive:
            beside = Series(REFERENCE, base.unit, base.clock, base.direction, (statistics.median(base.values),))
            one.references.append(beside)
            reference_ns, own_ns = burst_pair(replace(taken[one.name], series=(*taken[one.name].series, beside)))
            if reference_ns is not None and own_ns is not None:
                one.ratios.append(log_ratio([reference_ns], [own_ns]))

    def _look(self, alive: list[_Runner]) -> None:
        whole = {one.name: one.ratios for one in alive if len(one.ratios) in self._race.rule.looks.pairs}
        for name in self._race.look(whole):
            one = next(one for one in alive if one.name == name)
            alive.remove(one)
            self._end(one, f"stopped early, after {len(one.ratios)} bursts: slower than the best, beyond doubt")

    def _end(self, one: _Runner, why: str | None) -> None:
        """Its measurement, with the built-in configuration's median beside its own samples in each burst."""
        measured = one.hands.worker.finish(self.case.case_id, one.hands.blank)
        if measured.outcome is Outcome.PASSED:
            measured = _beside(measured, one.references)
            measured = replace(measured, flags=(*measured.flags, *([why] if why else [])))
        one.hands.worker.close()
        self._keep(measured)

    def _final(self) -> None:
        """The best and the built-in one take turns in fresh processes; however it ends, what was taken is stored."""
        names = self._finalists()
        if not names or not self.tuning.turns:
            return
        taken = {name: self._known[name] for name in (self.case.default, *names)}
        done = set.intersection(*({turn.round for turn in m.turns} for m in taken.values()))
        taken = {n: replace(m, turns=tuple(turn for turn in m.turns if turn.round in done)) for n, m in taken.items()}
        left = [number for number in range(1, self.tuning.turns + 1) if number not in done]
        try:
            for number in left:
                self.tell(f"round {number} of {self.tuning.turns} in fresh processes: {len(taken)} configurations")
                alive = [m for m in taken.values() if m.outcome is Outcome.PASSED]
                if len(alive) < 2:
                    break
                found = Round(number, self.staff.for_turn).take([alive])
                taken |= {key[1]: with_turn(taken[key[1]], number, turn) for key, turn in found.items()}
        finally:
            for m in taken.values() if left else ():
                self._known[m.implementation] = m
                self.sink.append(m)

    def _finalists(self) -> list[str]:
        """Those that may be faster than the built-in one, the most likely first."""
        base = self._known.get(self.case.default)
        if base is None or base.outcome is not Outcome.PASSED:
            return []
        medians = {
            name: statistics.median(logs)
            for name, m in self._known.items()
            if name != self.case.default and m.outcome is Outcome.PASSED and (logs := paired_logs(m))
            if len(logs) == self._race.rule.rounds
        }
        near = [name for name in sorted(medians, key=medians.__getitem__) if medians[name] < self.tuning.margin]
        return near[:FINALISTS]

    def _hands(self, name: str) -> Hands:
        found = self.staff.of_step(Step(self.tuning.operator, name, self.parsed))
        if isinstance(found, Measurement):
            raise self._lost(found)
        return found

    def _opened(self, hands: Hands) -> Measurement:
        return hands.worker.open(self.case.case_id, hands.blank)

    def _keep(self, measured: Measurement) -> None:
        self._known[measured.implementation] = measured
        self.sink.append(measured)
        self.tell(f"[{len(self._known)}/{len(self.case.candidates)}] {_said(measured, self.case)}")

    def _lost(self, measured: Measurement) -> ReferenceLost:
        """What is raised of a measurement that nothing can be set against, which is stored."""
        self._keep(measured)
        why = measured.reason or measured.untimed or measured.outcome.value
        return ReferenceLost(
            f"{measured.implementation} on {self.case.case_id}: {measured.outcome.value}: {brief(why)}"
        )


def _beside(measured: Measurement, references: Iterable[Series]) -> Measurement:
    """With a series more in each of its bursts of times."""
    left = list(references)
    launches = tuple(
        replace(
            launch,
            bursts=tuple(
                replace(burst, series=(*burst.series, left.pop(0)))
                if left and any(series.quantity == LATENCY for series in burst.series)
                else burst
                for burst in launch.bursts
            ),
        )
        for launch in measured.launches
    )
    return replace(measured, launches=launches)


def _said(m: Measurement, case: TunedCase) -> str:
    """What came of a candidate, in a line."""
    what = m.configuration or m.implementation
    if m.outcome is not Outcome.PASSED:
        return f"{m.implementation}: {m.outcome.value}: {brief(m.reason or '')}"
    time = "" if m.median_ns is None else f"{units.format_time(m.median_ns)}"
    if m.implementation == case.default:
        return f"{what}: {time}, the built-in one"
    logs = paired_logs(m)
    over = f", {units.format_ratio(math.exp(statistics.median(logs)))} the built-in one's" if logs else ""
    early = "; stopped early" if len(logs) < case.rounds else ""
    return f"{what}: {time}{over}{early}"
