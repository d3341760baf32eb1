"""How much longer a run takes: its estimate, put right by what its steps took so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.measuring.forecast import paces
from attnlab.bench.measuring.forecast.run_cost import RunCost
from attnlab.bench.measuring.forecast.turns import TurnsLeft
from attnlab.bench.measuring.steps import Step
from attnlab.bench.store.records import Measurement

PRIOR_STEPS = {1: 32.0, 2: 16.0, 3: 3.0}  # so many steps of all, of an operator, of an implementation weigh as a prior
LEAST_S = 0.02  # of a phase: nothing is estimated as nothing
ALIKE = {"first call": "set-up", "seen from outside": "check timed"}
TIMING = "timing"

Kind = tuple[str, ...]
"""A phase, of any operator, of one, or of one implementation: `("check",)`, `("check", "rope")`, …"""
Key = tuple[str, str, str]


@dataclass
class _Learned:
    """What phases of a kind were estimated to take, and took; or how a call's time lies over its estimate, as logs."""

    estimated: float = 0.0
    took: float = 0.0
    steps: float = 0.0


@dataclass
class _Ahead:
    """Seconds of phases to come: fixed ones, and those of calls by their estimate."""

    fixed_s: float = 0.0
    calls_s: float = 0.0

    def add(self, other: _Ahead, times: float = 1.0) -> None:
        self.fixed_s += times * other.fixed_s
        self.calls_s += times * other.calls_s


@dataclass(frozen=True)
class _Running:
    """The phase that runs now; share: how much of a step's phase it is, as one burst of several."""

    kind: Kind
    begun_s: float
    expected: _Ahead
    share: float


class TimeLeft:
    """Told of each event of a run with its time in seconds; `left(now)` is the time from then to its end.

    What a call took, over its estimate, goes for the steps of its implementation that are to come. So does, beside,
    what phases took over theirs; what was learned of an implementation weighs most, then of its operator, then of all.
    """

    def __init__(self, cost: RunCost, turns: int, cores: int, begun_s: float) -> None:
        self._begun_s, self._start_s, self._started = begun_s, cost.start_s, False
        self._turns = TurnsLeft(cost.running, turns, cores)
        self._phases_learned: dict[Kind, _Learned] = {}
        self._calls_learned: dict[Kind, _Learned] = {}
        self._ahead: dict[Kind, _Ahead] = {}
        self._phases: dict[Key, dict[str, _Ahead]] = {}
        self._call_s: dict[Key, float] = {}
        self._apart: dict[Key, str] = {}
        self._running: _Running | None = None
        for one in cost.running:
            key = one.step.key
            self._call_s[key] = one.call_s
            if one.first or not one.timed:
                self._apart[key] = "first" if one.timed else "untimed"
            self._phases[key] = {
                name: _Ahead(max(work.fixed_s, LEAST_S), work.calls * one.call_s) for name, work in one.phases.items()
            }
            for phase, work in self._phases[key].items():
                self._ahead.setdefault(self._kind(phase, one.step), _Ahead()).add(work)

    def begin(self, now_s: float) -> None:
        """A step begins, and with the first the processes have started."""
        self._close(now_s)
        self._started = True

    def phase(self, step: Step, phase: str, now_s: float) -> None:
        """A phase of a step begins."""
        name = ALIKE.get(phase, phase)
        self._open(step, name, self._phases.get(step.key, {}).pop(name, _Ahead()), 1.0, now_s)

    def burst(self, step: Step, now_s: float) -> None:
        """One of the bursts begins that a step takes in turn with others."""
        whole, part = self._phases.get(step.key, {}).get(TIMING, _Ahead()), _Ahead()
        part.add(whole, 1 / step.rounds)
        self._open(step, TIMING, part, 1 / step.rounds, now_s)

    def end(self, step: Step, measurement: Measurement, now_s: float) -> None:
        """A step is done; what it did not come to is not waited for."""
        self._close(now_s)
        own = self._phases.pop(step.key, None)
        if own is None:
            return
        for phase, work in own.items():
            if phase != TIMING or not step.rounds:  # bursts were taken off one by one
                self._ahead[self._kind(phase, step)].add(work, -1.0)
        if measurement.median_ns:
            self._learn_call(step, units.ns_to_seconds(measurement.median_ns) / self._call_s[step.key])
        self._turns.measured(step, measurement)

    def turn(self, number: int, now_s: float) -> None:
        """A case has its turns in a round of fresh processes, counted from 1."""
        self._close(now_s)
        self._turns.turn(number, now_s)

    def left(self, now_s: float) -> float:
        """Seconds from now to the end of the run."""
        ahead = sum(self._expected(kind, work) for kind, work in self._ahead.items())
        starting = 0.0 if self._started else max(0.0, self._start_s - (now_s - self._begun_s))
        between = paces.STEP_S * len(self._phases)
        return starting + self._of_running(now_s) + between + max(0.0, ahead) + self._turns.left(now_s)

    def _of_running(self, now_s: float) -> float:
        if self._running is None:
            return 0.0
        return max(0.0, self._expected(self._running.kind, self._running.expected) - now_s + self._running.begun_s)

    def _open(self, step: Step, phase: str, work: _Ahead, share: float, now_s: float) -> None:
        self._close(now_s)
        kind = self._kind(phase, step)
        self._ahead.setdefault(kind, _Ahead()).add(work, -1.0)
        self._running = _Running(kind, now_s, work, share)

    def _close(self, now_s: float) -> None:
        """What ran until now has ended, and is learned from."""
        one, self._running = self._running, None
        if one is None:
            return
        estimated = self._as_called(one.kind, one.expected)
        for end in range(1, len(one.kind) + 1):
            known = self._phases_learned.setdefault(one.kind[:end], _Learned())
            known.took += now_s - one.begun_s
            known.estimated += estimated
            known.steps += one.share if estimated else 0.0

    def _learn_call(self, step: Step, ratio: float) -> None:
        kind = ("call", step.operator, step.implementation)
        for end in range(1, len(kind) + 1):
            known = self._calls_learned.setdefault(kind[:end], _Learned())
            known.took += math.log(ratio)
            known.steps += 1

    def _expected(self, kind: Kind, work: _Ahead) -> float:
        return self._phase_ratio(kind) * self._as_called(kind, work)

    def _as_called(self, kind: Kind, work: _Ahead) -> float:
        """With calls as long as those of the implementation were."""
        return work.fixed_s + math.exp(self._log_call_ratio(("call", *kind[1:]))) * work.calls_s

    def _phase_ratio(self, kind: Kind) -> float:
        """What a phase takes over its estimate."""
        wider = self._phase_ratio(kind[:-1]) if len(kind) > 1 else 1.0
        known = self._phases_learned.get(kind)
        if known is None or not known.steps:
            return wider
        prior = PRIOR_STEPS[len(kind)] * known.estimated / known.steps
        return (prior * wider + known.took) / (prior + known.estimated)

    def _log_call_ratio(self, kind: Kind) -> float:
        """What a call takes over its estimate."""
        wider = self._log_call_ratio(kind[:-1]) if len(kind) > 1 else 0.0
        known = self._calls_learned.get(kind, _Learned())
        prior = PRIOR_STEPS[len(kind)]
        return (prior * wider + known.took) / (prior + known.steps)

    def _kind(self, phase: str, step: Step) -> Kind:
        """The first step of a process imports and compiles, which says nothing of others; nor does an interpreter."""
        apart = self._apart.get(step.key)
        return phase if apart is None or phase == TIMING else f"{apart} {phase}", step.operator, step.implementation
