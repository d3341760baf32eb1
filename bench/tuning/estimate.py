"""What a search takes at most: time, were nobody stopped early, and memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from attnlab.bench.measuring.forecast import paces
from attnlab.bench.measuring.forecast.run_cost import PROCESS_BYTES, run_cost
from attnlab.bench.measuring.forecast.step_costs import StepCost, Terms
from attnlab.bench.measuring.forecast.turns import BEFORE_BURSTS
from attnlab.bench.measuring.steps import steps_of
from attnlab.bench.tuning.search import FINALISTS, HEAT
from attnlab.bench.tuning.session import SearchPlan

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Estimate:
    """candidates: still to be measured, the built-in ones among them. seconds, bytes: at most, about."""

    candidates: int
    seconds: float
    bytes: int


def estimate(
    plan: SearchPlan, terms: Terms, cores: int, done: Collection[Key] = (), unknown_s: float = 0.0
) -> Estimate:
    """Of what is not done yet on a machine of so many cores; unknown_s: to measure ceilings that are not known."""
    steps = [step for step in steps_of(list(plan.benches), plan.registry) if step.key not in done]
    cost = run_cost(steps, plan.registry, terms, cores, unknown_s)
    running = cost.running
    beside_s = sum(one.phase_s("timing") for one in running) / HEAT  # the built-in one takes part in each heat
    cases = {one.step.case.id: one for one in running}
    final_s = sum(plan.tuning.turns * _round_s(one, cores) for one in cases.values())
    held = max((one.bytes for one in running), default=0)
    return Estimate(
        len(running),
        cost.seconds + beside_s + final_s,
        (HEAT + 2) * PROCESS_BYTES[terms.device.kind] + (HEAT + 1) * held if running else 0,
    )


def _round_s(one: StepCost, cores: int) -> float:
    """A round of fresh processes on a case."""
    members = FINALISTS + 1
    starts = paces.START_S * -(-members // max(1, cores))
    return starts + members * (sum(map(one.phase_s, BEFORE_BURSTS)) + paces.BURSTS_A_TURN_S)
