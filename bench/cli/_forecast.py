"""What a run will take, in words, before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from attnlab.bench import text_table, units
from attnlab.bench.contract.registry import Registry
from attnlab.bench.machine.cgroup import free_memory_bytes
from attnlab.bench.measuring.forecast.paces import CEILINGS_S
from attnlab.bench.measuring.forecast.run_cost import RunCost, run_cost
from attnlab.bench.measuring.forecast.step_costs import Terms
from attnlab.bench.measuring.forecast.time_left import TimeLeft
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.suite import make_effort
from attnlab.bench.store.machine import Environment
from attnlab.bench.store.records import RunRecord
from attnlab.bench.text import count

PHASES = {
    "set-up": ("inputs", "set-up"),
    "checks": ("check", "check timed"),
    "timing": ("warm-up", "timing"),
    "memory": ("memory",),
}
LEAST_TOLD_S = 1.0


@dataclass(frozen=True)
class Forecast:
    """The cost of a run, and the memory that it has: of a GPU all, of a CPU what is free now."""

    run: RunRecord
    cost: RunCost
    memory_bytes: int

    @property
    def on_cpu(self) -> bool:
        return self.run.environment.device.kind == "cpu"

    @property
    def beyond(self) -> bool:
        """Whether the estimate is beyond the memory that is there."""
        return self.cost.bytes > self.memory_bytes

    def time_left(self, begun_s: float) -> TimeLeft:
        """What is told of the run's events from `begun_s` on, and says how much longer it takes."""
        effort = make_effort(self.run.effort)
        return TimeLeft(self.cost, effort.turns, usable_cores(self.run.environment), begun_s)

    def lines(self) -> Iterator[str]:
        """How much is measured, how long it takes, and what it holds."""
        running, others = self.cost.running, len(self.cost.steps) - len(self.cost.running)
        more = f"; {others} more cannot be taken here" if others else ""
        if not running:
            yield f"{self.run.suite}: nothing to measure{more}"
            return
        operators = {one.step.operator for one in running}
        made = {(one.step.operator, one.step.implementation) for one in running}
        cases = {(one.step.operator, one.step.case.id) for one in running}
        look = " in a quick look" if self.run.quick else ""
        of = f" of {count(len(operators), 'operator')}" if len(operators) > 1 else ""
        yield (
            f"{self.run.suite}: {count(len(running), 'measurement')}{look}, of {count(len(made), 'implementation')} on "
            f"{count(len(cases), 'case')}{of}{more}"
        )
        yield f"time: about {units.format_duration(self.cost.seconds)}{self._parts()}"
        if limited := sum(one.limited for one in running):
            yield f"{limited} of {count(len(running), 'measurement')} may be ended by the limit of time (--time-limit)"
        there = f"{units.format_bytes(self.memory_bytes)} are free now" if self.on_cpu else self._of_gpu()
        yield f"memory: up to {units.format_bytes(self.cost.bytes)} at once; {there}"
        if self.beyond:
            yield from self._largest()

    def _of_gpu(self) -> str:
        return f"the GPU has {units.format_bytes(self.memory_bytes)}"

    def _parts(self) -> str:
        cost = self.cost
        parts = {
            "measuring the ceilings": cost.ceilings_s,
            "starting processes": cost.start_s,
            **{word: cost.phase_s(*phases) for word, phases in PHASES.items()},
            "turns in fresh processes": cost.turns_s,
        }
        told = [f"{word} {units.format_duration(s)}" for word, s in parts.items() if s >= LEAST_TOLD_S]
        return f" ({', '.join(told)})" if len(told) > 1 else ""

    def _largest(self) -> Iterator[str]:
        one = self.cost.largest
        if one is None:
            return
        plain = units.format_bytes(one.plain_bytes)
        kept = f", {plain} of it only where all intermediates are kept" if one.plain_bytes else ""
        yield (
            f"beyond memory: {one.step.operator} {one.step.case.id} takes up to {units.format_bytes(one.bytes)}{kept}; "
            "what does not fit ends as out_of_memory, and the run goes on"
        )

    def record(self) -> dict[str, Any]:
        """The same for machines: seconds and bytes."""
        cost = self.cost
        return {
            "measurements": len(cost.running),
            "unavailable": len(cost.steps) - len(cost.running),
            "cases": len({(one.step.operator, one.step.case.id) for one in cost.running}),
            "seconds": round(cost.seconds, 1),
            "bytes": cost.bytes,
            "memory_bytes": self.memory_bytes,
        }


def forecast_of(run: RunRecord, steps: Sequence[Step], registry: Registry, limit_s: float) -> Forecast:
    """What these steps of a run will take, each of which is ended after `limit_s`."""
    environment = run.environment
    device = environment.device
    terms = Terms(device, run.ceilings, make_effort(run.effort), limit_s)
    unknown_s = 0.0 if math.isfinite(run.ceilings.bandwidth) else CEILINGS_S
    cost = run_cost(steps, registry, terms, usable_cores(environment), unknown_s)
    memory = free_memory_bytes() if device.kind == "cpu" else device.memory_bytes or 0
    return Forecast(run, cost, memory)


def usable_cores(environment: Environment) -> int:
    """Cores that the processes of a run may use."""
    return len(environment.affinity) or environment.cores or 1


def tell_all(lines: Iterable[str], stream: TextIO) -> None:
    """Print lines, in the width of the terminal where there is one."""
    width = text_table.terminal_width() if stream.isatty() else None
    for line in lines:
        print("\n".join(text_table.paragraph(line, width, indent="")), file=stream, flush=True)
