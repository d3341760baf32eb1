"""What a suite comes to: its tables with their implementations written out, and one step for each of them on a case."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import UnknownName, UsageError
from attnlab.bench.measuring.suite import Suite
from attnlab.bench.store.records import BenchRecord


@dataclass(frozen=True)
class Step:
    """One implementation on one case.

    rounds: how many bursts are taken of it in turn with the other steps of its table, whose number is `table`; 0 where
    it is measured alone, from beginning to end.
    """

    operator: str
    implementation: str
    case: Case
    rounds: int = 0
    table: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.operator, self.implementation, self.case.id


def plan(suite: Suite, registry: Registry, only: tuple[str, ...] = ()) -> list[BenchRecord]:
    """The benches of a suite with their implementations written out; `only` narrows them.

    Raises UnknownName where a name in `only` is no implementation of any of the operators, and
    UsageError where no bench has anything left to measure.
    """
    known = {name for bench in suite.benches for name in registry.implementations(bench.operator).names()}
    for name in only:
        if name not in known:
            operators = ", ".join(dict.fromkeys(bench.operator for bench in suite.benches))
            raise UnknownName(f"implementation of {operators}", name, known)
    benches = []
    for bench in suite.benches:
        asked = bench.implementations or sorted(registry.implementations(bench.operator).names())
        names = tuple(name for name in asked if not only or name in only)
        if names:
            baseline = bench.baseline if bench.baseline in names else None
            cases = tuple(case.id for case in bench.cases)
            benches.append(BenchRecord(bench.operator, names, baseline, cases, bench.rounds))
    if not benches:
        wanted = f"none of {', '.join(only)} is" if only else "no implementation is"
        raise UsageError(f"nothing to measure: {wanted} in {suite.name}; `attnlab list all` names what there is")
    return benches


def steps_of(benches: list[BenchRecord], registry: Registry) -> list[Step]:
    """All steps, case by case, so that the implementations of a case are measured within moments."""
    steps: dict[tuple[str, str, str], Step] = {}
    for number, bench in enumerate(benches):
        parse = registry.operators.get(bench.operator).case_type.parse
        for case in map(parse, bench.cases):
            for name in bench.implementations:
                step = Step(bench.operator, name, case, bench.rounds, number)
                steps[step.key] = step
    return list(steps.values())
