"""How long turns in fresh processes take: guessed from estimates, known once the cases are measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.measuring.forecast import paces
from attnlab.bench.measuring.forecast.step_costs import StepCost
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.turns import contenders
from attnlab.bench.store.records import Measurement

FEW = 4  # cases, over which another implementation comes near the fastest
BEFORE_BURSTS = ("inputs", "set-up", "check timed")

CaseKey = tuple[str, str]


@dataclass(frozen=True)
class Contest:
    """Who takes turns on a case: how long all of them take in a round, and who they are, or how many."""

    operator: str
    seconds: float
    names: frozenset[str]
    number: float

    @classmethod
    def expected(cls, group: Sequence[StepCost]) -> Contest:
        """Of a case that is not measured yet."""
        number = min(paces.TURNING, len(group))
        each = [sum(one.phase_s(name) for name in BEFORE_BURSTS) for one in group]
        seconds = number * (sum(each) / len(each) + paces.BURSTS_A_TURN_S)
        return cls(group[0].step.operator, seconds, frozenset(one.step.implementation for one in group), number)

    @classmethod
    def known(cls, near: Sequence[Measurement]) -> Contest:
        """Of those near the fastest of a case that was measured."""
        each = [sum(m.phases_ns.get(name, 0.0) for name in BEFORE_BURSTS) for m in near]
        seconds = units.ns_to_seconds(sum(each)) + len(near) * paces.BURSTS_A_TURN_S
        return cls(near[0].operator, seconds, frozenset(m.implementation for m in near), len(near))


def expected_contests(running: Iterable[StepCost]) -> dict[CaseKey, Contest]:
    """Of each case with more than one to be timed alone; who comes near its fastest is not known before."""
    cases: dict[CaseKey, list[StepCost]] = {}
    for one in running:
        if not one.step.rounds and one.timed:
            cases.setdefault((one.step.operator, one.step.case.id), []).append(one)
    return {case: Contest.expected(group) for case, group in cases.items() if len(group) > 1}


def turns_s(contests: Iterable[Contest], rounds: int, cores: int) -> float:
    """Of all rounds, in each of which every implementation that takes part has a fresh process."""
    by_operator: dict[str, list[Contest]] = {}
    for one in contests:
        by_operator.setdefault(one.operator, []).append(one)
    processes = 0
    for own in by_operator.values():
        names = frozenset().union(*(one.names for one in own))
        processes += min(len(names), round(max(one.number for one in own)) + len(own) // FEW)
    starts = paces.START_S * -(-processes // max(1, cores))
    return rounds * (starts + sum(one.seconds for own in by_operator.values() for one in own)) if by_operator else 0.0


class TurnsLeft:
    """Told of what was measured and of each round, with its time in seconds."""

    def __init__(self, running: Sequence[StepCost], rounds: int, cores: int) -> None:
        self._contests = expected_contests(running)
        self._rounds, self._cores = rounds, cores
        self._waiting = dict.fromkeys(self._contests, 0)
        for one in running:
            case = one.step.operator, one.step.case.id
            if case in self._waiting:
                self._waiting[case] += 1
        self._measured: dict[CaseKey, list[Measurement]] = {}
        self._begun_s: list[float] = []

    def measured(self, step: Step, measurement: Measurement) -> None:
        """What was measured of a step that was expected to run; with the last of a case, who takes turns is known."""
        case = step.operator, step.case.id
        if case not in self._waiting:
            return
        self._measured.setdefault(case, []).append(measurement)
        self._waiting[case] -= 1
        if not self._waiting[case]:
            near = contenders(self._measured.pop(case))
            del self._contests[case]
            if near:
                self._contests[case] = Contest.known(near[0])

    def turn(self, number: int, now_s: float) -> None:
        """A case has its turns in the round of that number, counted from 1."""
        if number > len(self._begun_s):
            self._begun_s.append(now_s)

    def left(self, now_s: float) -> float:
        """Seconds of all rounds from now on."""
        whole = turns_s(self._contests.values(), self._rounds, self._cores)
        if not self._begun_s or not self._rounds:
            return whole
        took = [after - before for before, after in zip(self._begun_s, self._begun_s[1:], strict=False)]
        a_round = statistics.fmean(took) if took else whole / self._rounds
        return max(0.0, (self._rounds - len(self._begun_s) + 1) * a_round - (now_s - self._begun_s[-1]))
