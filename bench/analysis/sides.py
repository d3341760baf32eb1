"""Runs that others are set beside: one side of a comparison, or those before a run."""

from __future__ import annotations

from collections.abc import Set
from functools import partial

from attnlab.bench.analysis.index.index import Index
from attnlab.bench.analysis.index.opening import Tell, through_index
from attnlab.bench.analysis.index.outlines import benchmarks_in, outlined_runs
from attnlab.bench.store.records import INTERLEAVED
from attnlab.bench.store.run_folder import StoredRun, read_run, read_runs


def side_of(path: str, tell: Tell, inform: Tell, operators: Set[str] | None = None) -> list[StoredRun]:
    """A run or the runs of a folder, oldest first; raises StoreError where none can be read.

    Of many runs only what is set beside others is read: not the samples, but of runs with cases that are paced by their
    arrivals, which have no latency, and of those whose processes took turns. What was measured of other operators than
    these may be missing.
    """
    runs = through_index(path, tell, partial(_outlined, operators=operators), inform)
    return read_runs(path, tell) if runs is None else runs


def _outlined(index: Index, operators: Set[str] | None) -> list[StoredRun]:
    chosen = None if operators is None else [key for key in benchmarks_in(index) if key[0] in operators]
    return [_with_samples(run) for run in outlined_runs(index, chosen)]


def _with_samples(run: StoredRun) -> StoredRun:
    needed = INTERLEAVED in run.run.extra or any(m.paced is not None for m in run.measurements)
    return read_run(run.path) if needed else run
