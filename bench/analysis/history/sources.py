"""Where a history takes its runs from: their folders, or the index of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from attnlab.bench.analysis.history.lines import BenchmarkRuns, Key, tried
from attnlab.bench.analysis.history.points import in_order, start_of
from attnlab.bench.analysis.index.index import Index, IndexedRun
from attnlab.bench.analysis.index.opening import Tell, through_index
from attnlab.bench.analysis.index.outlines import benchmarks_in, figures_in, outlined_runs
from attnlab.bench.contract.metric import Metric, Value
from attnlab.bench.store.damages import Damage, tell_damages
from attnlab.bench.store.records import Measurement
from attnlab.bench.store.run_folder import StoredRun, read_runs


class Found(Protocol):
    """A run that was found."""

    @property
    def path(self) -> Path: ...

    @property
    def damages(self) -> tuple[Damage, ...]: ...


FoundRun = TypeVar("FoundRun", bound=Found)


class Source(Protocol):
    """Runs of which each id comes once."""

    @property
    def runs(self) -> list[str]:
        """Ids of the runs, oldest first."""
        ...

    def benchmarks(self) -> list[Key]:
        """All benchmarks that any run tried."""
        ...

    def of(self, chosen: Sequence[Key], wanted: str | None = None) -> list[BenchmarkRuns]:
        """These as they lie in the runs, by the metric wanted, as `tried`; raises UnknownName where there is none."""
        ...


def opened_source(folder: Path, tell: Tell, inform: Tell) -> Source:
    """The runs of a folder, by its index where it has one. Raises StoreError where no run can be read."""
    indexed = through_index(folder, tell, lambda index: IndexedRuns(index, tell), inform)
    return StoredRuns(read_runs(folder, tell), tell) if indexed is None else indexed


class StoredRuns:
    """Runs that were read from their folders."""

    def __init__(self, runs: Sequence[StoredRun], tell: Tell) -> None:
        once = _once([(stored.run.run_id, stored) for stored in runs], tell)
        self._runs = in_order(list(once.values()))

    @property
    def runs(self) -> list[str]:
        return [stored.run.run_id for stored in self._runs]

    def benchmarks(self) -> list[Key]:
        return list(dict.fromkeys(m.key for stored in self._runs for m in stored.measurements))

    def of(self, chosen: Sequence[Key], wanted: str | None = None) -> list[BenchmarkRuns]:
        keys = set(chosen)
        own = [replace(one, measurements=tuple(m for m in one.measurements if m.key in keys)) for one in self._runs]
        return tried(own, wanted)


class IndexedRuns:
    """Runs that are in an index; of a benchmark that nobody asks for nothing is read."""

    def __init__(self, index: Index, tell: Tell) -> None:
        once = _once([(run.entry.run_id, run) for run in index.runs], tell)
        ordered = sorted(once.values(), key=_moment)
        self._index = replace(index, runs=tuple(ordered))

    @property
    def runs(self) -> list[str]:
        return [run.entry.run_id for run in self._index.runs]

    def benchmarks(self) -> list[Key]:
        return benchmarks_in(self._index)

    def of(self, chosen: Sequence[Key], wanted: str | None = None) -> list[BenchmarkRuns]:
        columns: dict[str, Mapping[tuple[str, Key], Value]] = {}

        def value(stored: StoredRun, m: Measurement, metric: Metric) -> Value:
            if metric.name not in columns:
                columns[metric.name] = figures_in(self._index, metric.name, chosen)
            return columns[metric.name].get((stored.run.run_id, m.key))

        return tried(outlined_runs(self._index, chosen), wanted, value)


def _moment(run: IndexedRun) -> tuple[object, str]:
    return start_of(run.entry.run_id, run.entry.started), run.entry.run_id


def _once(found: Sequence[tuple[str, FoundRun]], tell: Tell) -> Mapping[str, FoundRun]:
    """The runs by their ids, of two with one id the first; the others, and damages, are told."""
    runs: dict[str, FoundRun] = {}
    for run_id, run in found:
        tell_damages(run.damages, tell)
        if (kept := runs.setdefault(run_id, run)) is not run:
            tell(f"{run.path} is run {run_id} as {kept.path} is; left out")
    return runs
