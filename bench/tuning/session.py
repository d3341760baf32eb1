"""A whole search: what is asked of it, held against what is there, and its cases one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from attnlab.bench.contract import needs
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.registry import Implementation, Registry
from attnlab.bench.contract.space import Space, Value
from attnlab.bench.errors import UsageError
from attnlab.bench.measuring.runner import Runner, Sink
from attnlab.bench.measuring.settings import kept_settings
from attnlab.bench.stats.racing import ALPHA, MARGIN
from attnlab.bench.store.machine import Device
from attnlab.bench.store.records import BenchRecord, Measurement
from attnlab.bench.store.tuning import Tuning
from attnlab.bench.tuning.candidates import tuned_case, variants
from attnlab.bench.tuning.compiling import misfits
from attnlab.bench.tuning.search import CaseSearch, ReferenceLost

MOST_SAMPLES = 1e7  # of the built-in configuration, which takes part in every heat
TURNS = 8


@dataclass(frozen=True)
class SearchPlan:
    """What is searched. registry: knows an implementation for each candidate."""

    tuning: Tuning
    registry: Registry
    benches: tuple[BenchRecord, ...]

    @property
    def effort(self) -> dict[str, float]:
        return {"turns": float(self.tuning.turns), "max_samples": MOST_SAMPLES}


def plan_search(
    registry: Registry,
    operator: str,
    name: str,
    cases: Sequence[Case],
    device: Device,
    only: Mapping[str, tuple[Value, ...]],
    turns: int = TURNS,
    plugins: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> SearchPlan:
    """The search of an implementation's space on these cases, of what fits the device as compilers make it.

    only: values of some names, where not all are searched. tell: gets a line before something takes long. Raises
    UnknownName, and UsageError where the implementation has no space, cannot run or be timed here, or does not serve a
    case.
    """
    made = registry.implementations(operator).get(name)
    space = _space(made, registry).narrowed(only)
    with kept_settings():
        _refuse_unserved(made, cases, device)
        tuned = {}
        for case in cases:
            fitting = partial(misfits, made, case, device=device, plugins=plugins, tell=tell)
            tuned[case.id] = tuned_case(made, space, case, device, ALPHA, fitting)
    tuning = Tuning(operator, name, dict(space.axes), tuple(tuned.values()), ALPHA, MARGIN, turns)
    benches = tuple(
        BenchRecord(operator, tuple(one.candidates), one.default, (one.case_id,), one.rounds) for one in tuned.values()
    )
    return SearchPlan(tuning, registry.with_implementations(variants(made, tuned)), benches)


def _space(made: Implementation, registry: Registry) -> Space:
    if made.space is not None:
        return made.space
    others = [one.key for one in registry.all_implementations() if one.space is not None]
    raise UsageError(
        f"{made.key} has no search space: it declares no configurations to choose from; those with one: "
        f"{', '.join(sorted(others)) or 'none'}"
    )


def _refuse_unserved(made: Implementation, cases: Sequence[Case], device: Device) -> None:
    missing = needs.missing(made, device)
    if missing is not None:
        raise UsageError(f"{made.key} cannot be tuned here: {missing}; tune it on the device that it is for")
    untimed = made.untimed(device.kind)
    if untimed is not None:
        raise UsageError(f"{made.key} cannot be tuned on this device: {untimed}; tune it on the device that it is for")
    for case in cases:
        reason = made.supports(case)
        if reason is not None:
            raise UsageError(f"{made.key} does not serve {case.id}: {reason}; take another case")


def run_search(
    plan: SearchPlan,
    runner: Runner,
    sink: Sink,
    before: Sequence[Measurement],
    tell: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Search every case; why one could not be, a line each.

    before: what an earlier part of this search measured; none of it is measured again.
    """
    parse = runner.registry.operators.get(plan.tuning.operator).case_type.parse
    lost: list[str] = []
    with runner.staff() as staff:
        for case in plan.tuning.cases:
            if len(plan.tuning.cases) > 1:
                tell(f"{plan.tuning.operator} {case.case_id}")
            try:
                CaseSearch(plan.tuning, case, parse(case.case_id), staff, sink, tell, before).run()
            except ReferenceLost as error:
                lost.append(str(error))
    return lost
