"""Derived quantities: one metric a file, each a number or a word worked out from one stored measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attnlab.bench.contract.beyond import DOUBTED
from attnlab.bench.contract.discovery import import_all
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.llm.generation.events import broken_log
from attnlab.bench.measuring.common_clock import under_common_clocks
from attnlab.bench.store.records import Measurement, Outcome, RunRecord
from attnlab.bench.store.run_folder import latest


def rows_of(run: RunRecord, measurements: Sequence[Measurement]) -> list[Row]:
    """A row for each implementation and case of one run, the latest where one was measured again.

    The measurements of a case are shown by one clock, the best that all of them have samples of.
    """
    kept = [without_pace(m) for m in under_common_clocks(latest(measurements))]
    found = {m.key: m for m in kept}
    baselines = {
        (bench.operator, case_id): bench.baseline
        for bench in reversed(run.benches)
        if bench.baseline is not None
        for case_id in bench.cases
    }
    rows = [Row(run, m, found.get((m.operator, baselines.get((m.operator, m.case_id), ""), m.case_id))) for m in kept]
    return [with_remarks(row) for row in rows]


def without_pace(m: Measurement) -> Measurement:
    """The measurement, without a latency where the length of its calls is none, as in runs of earlier versions."""
    if m.paced is None or m.outcome is not Outcome.PASSED:
        return m
    return replace(m, median_ns=None, ci_low_ns=None, ci_high_ns=None, untimed=m.untimed or m.paced)


def with_remarks(row: Row) -> Row:
    """The row with what is wrong with its figures among the flags, by the ceilings and the rules that there are now."""
    kept = [flag for flag in row.measurement.flags if not flag.startswith(DOUBTED)]
    if (broken := broken_log(row.measurement)) is not None:
        kept.append(f"its log cannot be, so that no figure is made of it: {broken}")
    metrics = known_metrics()
    remarks = [metric.remark_on(row) for metric in metrics]
    said = [remark.words for remark in remarks if remark is not None]
    faults = [fault for metric in metrics if (fault := metric.fault_on(row)) is not None]
    flags = tuple(dict.fromkeys((*kept, *said, *faults)))
    return replace(row, measurement=replace(row.measurement, flags=flags))


def known_metrics(source: Registry = registry) -> list[Metric]:
    """All metrics, ours and those of loaded plugins, in the order in which they are shown."""
    import_all(__name__)
    return sorted(source.metrics, key=lambda metric: metric.rank)
