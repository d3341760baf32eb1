"""What a whole run takes: its steps, starting its processes, turns in fresh ones, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from attnlab.bench import units
from attnlab.bench.contract.registry import Registry
from attnlab.bench.measuring.forecast import paces
from attnlab.bench.measuring.forecast.step_costs import StepCost, Terms, planned_cost, step_cost
from attnlab.bench.measuring.forecast.turns import expected_contests, turns_s
from attnlab.bench.measuring.judging.court import MOST_HELD_BYTES
from attnlab.bench.measuring.steps import Step

PROCESS_BYTES = {"cpu": 350 * units.MIB, "cuda": 700 * units.MIB}  # of a worker that has imported torch; a CUDA context


@dataclass(frozen=True)
class RunCost:
    """What a run is estimated to take. start_s: for its processes to start; turns_s: for turns in fresh ones.

    ceilings_s: to measure ceilings that are not known yet. bytes: held at once, of the device's memory on a GPU and of
    the machine's otherwise; largest: the step that holds the most.
    """

    steps: tuple[StepCost, ...]
    processes: int
    start_s: float
    turns_s: float
    ceilings_s: float
    bytes: int
    largest: StepCost | None

    @property
    def seconds(self) -> float:
        return self.start_s + self.ceilings_s + self.turns_s + sum(paces.STEP_S + one.seconds for one in self.steps)

    def phase_s(self, *names: str) -> float:
        """Of these phases, over all steps."""
        return sum(one.phase_s(name) for one in self.steps for name in names)

    @property
    def running(self) -> tuple[StepCost, ...]:
        """The steps that can run here."""
        return tuple(one for one in self.steps if one.runs)


def run_cost(
    steps: Sequence[Step], registry: Registry, terms: Terms, cores: int, ceilings_s: float = 0.0, here: bool = True
) -> RunCost:
    """The cost of these steps on a machine of so many cores: this one, unless it is not `here`."""
    costs = tuple(_costs(steps, registry, terms, step_cost if here else planned_cost))
    running = [one for one in costs if one.runs]
    processes = len({(one.step.operator, one.step.implementation) for one in running})
    started = processes + 1  # with the judge
    largest = max(running, key=lambda one: one.bytes, default=None)
    return RunCost(
        costs,
        processes,
        paces.START_S * -(-started // max(1, cores)) if running else 0.0,
        turns_s(expected_contests(running).values(), terms.effort.turns, cores),
        ceilings_s if running else 0.0,
        started * PROCESS_BYTES[terms.device.kind] + _held_bytes(running) if running else 0,
        largest,
    )


def _costs(
    steps: Iterable[Step], registry: Registry, terms: Terms, cost_of: Callable[..., StepCost]
) -> Iterator[StepCost]:
    cases: set[tuple[str, str]] = set()
    callers: set[tuple[str, str]] = set()
    for step in steps:
        operator = registry.operators.get(step.operator)
        made = registry.implementations(step.operator).get(step.implementation)
        case, caller = (step.operator, step.case.id), (step.operator, step.implementation)
        cost = cost_of(step, operator, made, terms, case not in cases, caller not in callers)
        if cost.runs:
            cases.add(case)
            callers.add(caller)
        yield cost


def _held_bytes(running: Sequence[StepCost]) -> int:
    """The most that workers hold of cases at once, with the judge: a table in rounds is open as a whole."""
    tables = groupby(running, key=lambda one: (one.step.rounds, one.step.table if one.step.rounds else one.step.key))
    held = [sum(one.bytes for one in group) for _, group in tables]
    judged = max((min(MOST_HELD_BYTES, one.bytes - one.plain_bytes) for one in running), default=0)
    return max(held, default=0) + 2 * judged
