"""What one step takes: seconds by phase and bytes, from the contract's costs, the device's ceilings and the effort."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnlab.bench import units
from attnlab.bench.contract import needs
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import OURS, Implementation
from attnlab.bench.measuring.forecast import paces
from attnlab.bench.measuring.interpreting import as_in_a_worker
from attnlab.bench.measuring.judging.verdicts import owed
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.measuring.timing import BURST_NS
from attnlab.bench.store.machine import Ceilings, Device

NOMINAL_RATE, NOMINAL_BANDWIDTH = {"cpu": 1e11, "cuda": 3e14}, {"cpu": 2e10, "cuda": 2e12}
"""Where ceilings were not measured yet."""
SETS_HELD = 4  # of inputs: two that calls rotate through, that of needles, and a copy to find writes by
SETS_SHARED = 2  # where other draws share what is static


@dataclass(frozen=True)
class Work:
    """What a phase takes: a fixed time and so many calls."""

    fixed_s: float
    calls: float = 0.0


@dataclass(frozen=True)
class StepCost:
    """What a step is estimated to take. phases: by name; none of a step that cannot run here. call_s: one call.

    first: whether it is the first of its process. bytes: what it holds at once, without the process's own; plain_bytes:
    those of them that an implementation holds only if it keeps every intermediate. limited: whether it would
    take longer than a step may.
    """

    step: Step
    phases: Mapping[str, Work]
    call_s: float = 0.0
    first: bool = False
    bytes: int = 0
    plain_bytes: int = 0
    limited: bool = False

    @property
    def runs(self) -> bool:
        return bool(self.phases)

    @property
    def timed(self) -> bool:
        """Whether it is more than checked."""
        return "timing" in self.phases

    @property
    def seconds(self) -> float:
        return sum(map(self.phase_s, self.phases))

    def phase_s(self, phase: str) -> float:
        """The seconds of a phase; 0 where it has no such phase."""
        work = self.phases.get(phase, Work(0.0))
        return work.fixed_s + work.calls * self.call_s


@dataclass(frozen=True)
class Terms:
    """What costs are worked out by; limit_s: after which a step is ended."""

    device: Device
    ceilings: Ceilings
    effort: Effort
    limit_s: float = math.inf


def call_seconds(operator: Operator[Any, Any], case: Case, terms: Terms, pace: paces.Pace) -> float:
    """What a call takes: operations and bytes by the ceilings, or nominal ones where none were measured, and slower.

    Few implementations get near the rate that a CPU has for half-precision products, so that float32's is taken there.
    """
    kind, ceilings = terms.device.kind, terms.ceilings
    dtype = "float32" if kind == "cpu" else str(getattr(case, "dtype", ""))
    rate = ceilings.rate(dtype) or max(ceilings.rates.values(), default=NOMINAL_RATE[kind])
    bandwidth = ceilings.bandwidth if math.isfinite(ceilings.bandwidth) else NOMINAL_BANDWIDTH[kind]
    computed_s, moved_s = operator.operations(case) / rate, operator.bytes_moved(case) / bandwidth
    return pace.call_s + pace.slow_operations * computed_s + pace.slow_bytes * moved_s


def why_not(implementation: Implementation, case: Case, device: Device) -> str | None:
    """Why a step will be unavailable, as far as that is known without running anything of others."""
    missing = needs.missing(implementation, device)
    if missing is not None or not implementation.module.startswith(f"{OURS}."):
        return missing
    with as_in_a_worker(device.kind):
        return implementation.supports(case)


def step_cost(
    step: Step, operator: Operator[Any, Any], made: Implementation, terms: Terms, first_case: bool, first_call: bool
) -> StepCost:
    """first_case: whether no other was measured on its case; first_call: whether its process did nothing before."""
    if why_not(made, step.case, terms.device) is not None:
        return StepCost(step, {})
    return nominal_cost(step, operator, made, terms, first_case, first_call)


def planned_cost(
    step: Step, operator: Operator[Any, Any], made: Implementation, terms: Terms, first_case: bool, first_call: bool
) -> StepCost:
    """The same for a device that is not here: what is not written for it costs nothing, packages are not asked for."""
    if needs.of_device(made.needs, terms.device) is not None:
        return StepCost(step, {})
    return nominal_cost(step, operator, made, terms, first_case, first_call)


def nominal_cost(
    step: Step,
    operator: Operator[Any, Any],
    made: Implementation,
    terms: Terms,
    first_case: bool = True,
    first_call: bool = True,
) -> StepCost:
    """As `step_cost`, of a step that is taken to run: whether it can is asked of no machine."""
    case, effort, kind = step.case, terms.effort, terms.device.kind
    observed = operator.observe is not None
    pace = paces.pace_of(kind, observed)
    call_s = call_seconds(operator, case, terms, pace)
    moved = operator.bytes_moved(case)
    held = moved if operator.input_bytes is None else operator.input_bytes(case)
    sets = list(owed(operator, 0, bool(effort.quick)))
    drawn = (operator.case_of_draw(case, draw, content.seed) for _, draw, content in sets)
    calls = sum(call_seconds(operator, each, terms, pace) for each in drawn) / call_s
    compile_s = (paces.FIRST_COMPILE_S if first_call else paces.COMPILE_S) if made.compiled else 0.0
    first_s = pace.first_s if first_call else 0.0
    share = len(sets) / len(list(owed(operator, 0)))
    expected = len(sets) * pace.set_s + share * first_case * pace.expect_gb_s * held / units.GB
    phases = {
        "inputs": Work(pace.input_s + pace.input_gb_s * held / units.GB),
        "set-up": Work(pace.setup_s + compile_s + first_s, pace.setup_calls),
        "check": Work(expected, calls * pace.set_calls),
    }
    if made.module.startswith(f"{OURS}.") and made.untimed(kind) is not None:
        phases["check"] = Work(share * paces.INTERPRETED_S)
    else:
        phases |= _timed(step, call_s, pace, effort, observed)
    plain = operator.plain_bytes(case)
    number = SETS_HELD if operator.redrawn is None else SETS_SHARED
    whole_s = sum(work.fixed_s + work.calls * call_s for work in phases.values())
    limited = whole_s > terms.limit_s and not step.rounds
    if limited:
        share = terms.limit_s / whole_s
        phases = {name: Work(share * work.fixed_s, share * work.calls) for name, work in phases.items()}
    return StepCost(step, phases, call_s, first_call, number * held + plain, plain, limited)


def _timed(step: Step, call_s: float, pace: paces.Pace, effort: Effort, observed: bool) -> dict[str, Work]:
    """The phases after the check: limits end warm-up and sampling where calls are short, else single calls do."""
    burst_s = 0.0 if observed else units.ns_to_seconds(BURST_NS)
    warm_s = min(pace.warmup_s, effort.warmup_limit_s)
    warmup = Work(warm_s, 1.0) if warm_s > max(call_s, burst_s) else Work(burst_s, 2.0)
    after = {"check timed": Work(0.0, pace.timed_calls), "memory": Work(0.0, pace.memory_calls)}
    if step.rounds:
        bursts = Work(0.0, step.rounds) if call_s > burst_s else Work(step.rounds * burst_s)
        return {"warm-up": warmup, "timing": bursts} | after
    sampling_s = min(max(pace.sampling_s, effort.least_s), effort.sampling_limit_s)
    sampling = Work(sampling_s, 0.5) if sampling_s > call_s else Work(0.0, 1.0)
    return {"timing": Work(warmup.fixed_s + sampling.fixed_s, warmup.calls + sampling.calls)} | after
