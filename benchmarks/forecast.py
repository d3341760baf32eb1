"""How right the estimate of a run is beforehand, and the time left while it goes on, on stored runs.

    python benchmarks/forecast.py [RUN…]      # the runs under results/ where none is named

Each run is played back by the times that it stored: when bursts began, and how long phases took.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from attnlab.bench import discover, units
from attnlab.bench.contract.registry import Registry
from attnlab.bench.measuring.forecast.run_cost import RunCost, run_cost
from attnlab.bench.measuring.forecast.step_costs import Terms
from attnlab.bench.measuring.forecast.time_left import TimeLeft
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.suite import make_effort
from attnlab.bench.store.records import Burst, Measurement
from attnlab.bench.store.run_folder import StoredRun, read_run

ROOT = Path(__file__).parents[1]
OPENING = ("inputs", "set-up", "check", "warm-up")  # phases before the first burst, of steps that take turns
CLOSING = ("seen from outside", "check timed", "memory")
SHORT_S = 5.0  # of error, which nobody minds at the end of a run

Taken = tuple[Step, Measurement]


@dataclass(frozen=True)
class Event:
    """What happened at a time in seconds after the run began: `begin`, `burst`, `end`, or the name of a phase."""

    at_s: float
    word: str
    step: Step
    measurement: Measurement


@dataclass(frozen=True)
class Moment:
    """At a share of the run, the time that was said to be left, and the time that was."""

    share: float
    said_s: float
    left_s: float

    @property
    def within_a_third(self) -> bool:
        return abs(self.said_s - self.left_s) <= max(self.left_s / 3, SHORT_S)


@dataclass(frozen=True)
class Replayed:
    """A run that was played back: what was estimated beforehand, what it took, and all moments between."""

    cost: RunCost
    took_s: float
    moments: tuple[Moment, ...]

    @property
    def ratio(self) -> float:
        """The estimate over what it took."""
        return self.cost.seconds / self.took_s

    @property
    def late(self) -> list[Moment]:
        """Those from the middle on."""
        return [moment for moment in self.moments if moment.share >= 0.5]


def replay(stored: StoredRun, registry: Registry) -> Replayed:
    """Play a run back that took no turns in fresh processes."""
    run = stored.run
    effort = make_effort({**run.effort, "turns": 0})
    cores = len(run.environment.affinity) or run.environment.cores or 1
    taken = [(_step(stored, m, registry), m) for m in stored.measurements]
    cost = run_cost([step for step, _ in taken], registry, Terms(run.environment.device, run.ceilings, effort), cores)
    events = list(_events(taken, datetime.fromisoformat(run.started).timestamp()))
    took_s = events[-1].at_s
    left = TimeLeft(cost, 0, cores, 0.0)
    moments = []
    for event in events:
        _tell(left, event)
        moments.append(Moment(event.at_s / took_s, left.left(event.at_s), took_s - event.at_s))
    return Replayed(cost, took_s, tuple(moments))


def _tell(left: TimeLeft, event: Event) -> None:
    if event.word == "begin":
        left.begin(event.at_s)
    elif event.word == "end":
        left.end(event.step, event.measurement, event.at_s)
    elif event.word == "burst":
        left.burst(event.step, event.at_s)
    else:
        left.phase(event.step, event.word, event.at_s)


def _step(stored: StoredRun, m: Measurement, registry: Registry) -> Step:
    found = [
        (bench.rounds, number)
        for number, bench in enumerate(stored.run.benches)
        if m.operator == bench.operator and m.implementation in bench.implementations and m.case_id in bench.cases
    ]
    rounds, table = found[-1]
    return Step(m.operator, m.implementation, registry.operators.get(m.operator).case_of(m), rounds, table)


def _events(taken: Sequence[Taken], begun_s: float) -> Iterator[Event]:
    now_s = 0.0
    for (rounds, _), group in groupby(taken, lambda one: (one[0].rounds, one[0].rounds and one[0].table)):
        own = list(group)
        events = list(_in_rounds(own, now_s, begun_s) if rounds else _one_by_one(own, now_s, begun_s))
        now_s = events[-1].at_s
        yield from events


def _one_by_one(taken: Sequence[Taken], now_s: float, begun_s: float) -> Iterator[Event]:
    for step, m in taken:
        bursts = _bursts(m)
        if bursts and m.timing is not None:
            before = sum(m.phases_ns.get(name, 0.0) for name in OPENING) + m.timing.warmup_ns
            now_s = max(now_s, bursts[0].started_s - begun_s - units.ns_to_seconds(before))
        yield Event(now_s, "begin", step, m)
        for name, took_ns in m.phases_ns.items():
            yield Event(now_s, name, step, m)
            now_s += units.ns_to_seconds(took_ns)
        yield Event(now_s, "end", step, m)


def _in_rounds(taken: Sequence[Taken], now_s: float, begun_s: float) -> Iterator[Event]:
    """Every step is opened, bursts are taken in turn, and every step is finished."""
    ready = [(step, m) for step, m in taken if _bursts(m)]
    if ready:
        opened = sum(m.phases_ns.get(name, 0.0) for _, m in taken for name in OPENING)
        first_s = min(_bursts(m)[0].started_s for _, m in ready) - begun_s
        now_s = max(now_s, first_s - units.ns_to_seconds(opened))
    for step, m in taken:
        yield Event(now_s, "begin", step, m)
        for name in OPENING:
            if name in m.phases_ns:
                yield Event(now_s, name, step, m)
                now_s += units.ns_to_seconds(m.phases_ns[name])
        if (step, m) not in ready:
            yield Event(now_s, "end", step, m)
    bursts = [(burst.started_s, one) for one in ready for burst in _bursts(one[1])]
    for started_s, (step, m) in sorted(bursts, key=lambda burst: burst[0]):
        now_s = max(now_s, started_s - begun_s)
        yield Event(now_s, "burst", step, m)
    now_s += units.ns_to_seconds(ready[-1][1].phases_ns.get("timing", 0.0)) / ready[-1][0].rounds if ready else 0.0
    for step, m in ready:
        for name in CLOSING:
            if name in m.phases_ns:
                yield Event(now_s, name, step, m)
                now_s += units.ns_to_seconds(m.phases_ns[name])
        yield Event(now_s, "end", step, m)


def _bursts(m: Measurement) -> list[Burst]:
    """Those of timed calls."""
    every = [burst for launch in m.launches for burst in launch.bursts]
    return [burst for burst in every if any(series.quantity == "latency" for series in burst.series)]


def main(paths: Sequence[str]) -> None:
    registry = discover()
    runs = [Path(path) for path in paths] or sorted(path.parent for path in (ROOT / "results").rglob("run.json"))
    print(f"{'run':34} {'estimated':>12} {'took':>12} {'ratio':>6} {'within a third':>15} {'said/left':>10}")
    for path in runs:
        stored = read_run(path)
        if any(m.turns for m in stored.measurements):
            print(f"{path.name:34} took turns in fresh processes, whose time is not stored")
            continue
        found = replay(stored, registry)
        late = found.late
        share = sum(moment.within_a_third for moment in late) / len(late)
        typical = statistics.median(moment.said_s / moment.left_s for moment in late if moment.left_s > SHORT_S)
        times = (units.format_duration(seconds) for seconds in (found.cost.seconds, found.took_s))
        print(f"{path.name:34} {next(times):>12} {next(times):>12} {found.ratio:6.2f} {share:14.0%}  {typical:9.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
