"""Measures ceilings again after a run in which something passed them, so that its results are judged by better ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.machine.ceilings import measure_again
from attnlab.bench.store.machine import better
from attnlab.bench.store.records import SCHEMA_VERSION, Measurement, RunRecord


def doubts(run: RunRecord, measurements: Sequence[Measurement]) -> int:
    """How many results pass a measured ceiling where no cache explains it."""
    metrics = known_metrics()
    remarks = ([metric.remark_on(row) for metric in metrics] for row in rows_of(run, measurements))
    return sum(any(remark is not None and remark.doubts_ceiling for remark in found) for found in remarks)


def raised(run: RunRecord) -> RunRecord:
    """The run with ceilings that are measured now where those are higher; the user's cache has them as well."""
    ceilings = better(run.ceilings, measure_again(run.environment.device))
    return replace(run, ceilings=ceilings, schema_version=SCHEMA_VERSION)  # an older run has the fields of this now
