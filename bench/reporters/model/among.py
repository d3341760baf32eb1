"""A run among others: the ones before it on its machine, and those of other machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from attnlab.bench.analysis.history.lines import BenchmarkHistory, benchmark, tried
from attnlab.bench.analysis.history.points import in_order, started
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.store.run_folder import StoredRun

MachineId = tuple[str, str]


def machine_of(stored: StoredRun) -> MachineId:
    """Its processor and device: runs of the same ones are of one machine."""
    environment = stored.run.environment
    return environment.processor, environment.device.name


@dataclass(frozen=True)
class RunAmong:
    """One operator of one run. given: the runs of the report; every: those and earlier ones, each once, oldest first.

    cases: of the operator in this run, by id.
    """

    stored: StoredRun
    operator: str
    cases: dict[str, CaseRef]
    given: tuple[StoredRun, ...]
    every: tuple[StoredRun, ...]

    def label(self, case_id: str) -> str:
        found = self.cases.get(case_id)
        return found.label if found else case_id

    @cached_property
    def until_now(self) -> list[StoredRun]:
        """Runs of this operator on this machine, oldest first, up to this one."""
        now = started(self.stored.run)
        return [one for one in self.every if self._is_like(one) and started(one.run) <= now]

    @property
    def before(self) -> list[StoredRun]:
        """The runs before this one, the last of them first."""
        return [one for one in reversed(self.until_now) if one.run.run_id != self.stored.run.run_id]

    @property
    def newest(self) -> bool:
        """Whether no later run of the report says as much and more."""
        now = started(self.stored.run)
        return not any(self._is_like(one) and started(one.run) > now for one in self.given)

    def others(self) -> Iterator[StoredRun]:
        """The runs of other machines that were given before this one, the last of each."""
        found: dict[MachineId, StoredRun] = {}
        for one in self.given:
            if one is self.stored:
                break
            if machine_of(one) != machine_of(self.stored) and _measured(one, self.operator):
                found[machine_of(one)] = one
        yield from found.values()

    def histories(self) -> list[BenchmarkHistory]:
        """Of every benchmark that this run has."""
        own = [only_of(one, self.operator) for one in self.until_now]
        keys = {m.key for m in self.stored.measurements if m.operator == self.operator}
        return [found for source in tried(own) if source.key in keys and (found := benchmark(source)) is not None]

    def _is_like(self, one: StoredRun) -> bool:
        return machine_of(one) == machine_of(self.stored) and _measured(one, self.operator)


def _measured(stored: StoredRun, operator: str) -> bool:
    return any(m.operator == operator for m in stored.measurements)


def only_of(stored: StoredRun, operator: str) -> StoredRun:
    """The run with the measurements of one operator."""
    return replace(stored, measurements=tuple(m for m in stored.measurements if m.operator == operator))


def all_runs(given: Sequence[StoredRun], earlier: Sequence[StoredRun]) -> tuple[StoredRun, ...]:
    """Each run once, oldest first; the one that was given where both have it."""
    by_id = {one.run.run_id: one for one in (*earlier, *given)}
    return tuple(in_order(list(by_id.values())))
