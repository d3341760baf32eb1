"""Runs as a pandas table: one row a measurement, or one row a sample."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.analysis import columns
from attnlab.bench.analysis.index.index import Index
from attnlab.bench.analysis.index.opening import through_index
from attnlab.bench.analysis.index.table import frame_of
from attnlab.bench.analysis.metrics import figured_of, known_metrics, own_metrics
from attnlab.bench.errors import StoreWarning
from attnlab.bench.store.damages import tell_damages
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.store.run_folder import StoredRun, latest, read_runs

if TYPE_CHECKING:
    import pandas as pd


def load(path: Path | str, samples: bool = False) -> pd.DataFrame:
    """One run, or a folder of runs, as a DataFrame.

    One row for each implementation and case, with the case's axes, the outcome and every metric as
    columns; or, with `samples`, one row for each stored value of each quantity. What was not measured
    is NaN or None, never 0, and a wrong result has no figure of speed. What was imported is `unchecked`.
    An axis whose name is that of another column is called `axis_<name>`.
    """
    if not samples and len(known_metrics()) == len(own_metrics()):  # a plugin's metric is worked out from the runs
        table = through_index(path, _warn, _table_of)
        if table is not None:
            return table
    runs = read_runs(path, _warn)
    for stored in runs:
        tell_damages(stored.damages, _warn)
    return samples_frame(runs) if samples else frame(runs)


def _table_of(index: Index) -> pd.DataFrame:
    for run in index.runs:
        tell_damages(run.damages, _warn)
    return frame_of(index)


def _warn(text: str) -> None:
    warnings.warn(text, StoreWarning, stacklevel=2)


def frame(runs: Sequence[StoredRun]) -> pd.DataFrame:
    """One row for each implementation and case of the runs."""
    import pandas as pd

    metrics = known_metrics()
    rows = [figured for stored in runs for figured in figured_of(stored.run, stored.measurements, metrics)]
    axes = columns.axes_of(
        (row.measurement.case for row, _ in rows), (*columns.FIXED, *(metric.name for metric in metrics))
    )
    unknown = dict.fromkeys(metric.name for metric in metrics)
    records = [
        columns.of_run(row.run) | columns.of_row(row) | _case(row.measurement, axes) | unknown | values
        for row, values in rows
    ]
    table = pd.DataFrame(records, columns=columns.in_order(axes, metrics))
    for name in (*columns.TIMES, *unknown):
        if not any(isinstance(value, str) for value in table[name]):
            table[name] = table[name].astype(float)  # a column of None alone would not be numbers
    return table


def samples_frame(runs: Sequence[StoredRun]) -> pd.DataFrame:
    """One row for each value stored of a result that passed or is unchecked, of any quantity."""
    import pandas as pd

    kept = [(stored.run, m) for stored in runs for m in latest(stored.measurements)]
    ours = ("quantity", "unit", "clock", "launch", "burst", "started_s", "sample", "value")
    identity = ("run_id", "operator", "implementation", "case_id", "device")
    axes = columns.axes_of((m.case for _, m in kept), (*ours, *identity))
    records = [record for run, m in kept for record in _samples(run, m, axes)]
    return pd.DataFrame(records, columns=[*identity, *axes, *ours])


def _samples(run: RunRecord, m: Measurement, axes: dict[str, str]) -> Iterator[dict[str, Any]]:
    if not m.outcome.may_have_speed:
        return
    identity = {
        "run_id": run.run_id,
        "operator": m.operator,
        "implementation": m.implementation,
        "case_id": m.case_id,
        "device": run.environment.device.name,
    } | _case(m, axes)
    for process, launch in enumerate(m.launches):
        for number, burst in enumerate(launch.bursts):
            for series in burst.series:
                for position, value in enumerate(series.values):
                    yield identity | {
                        "quantity": series.quantity,
                        "unit": series.unit,
                        "clock": series.clock,
                        "launch": process,
                        "burst": number,
                        "started_s": burst.started_s,
                        "sample": position,
                        "value": value,
                    }


def _case(m: Measurement, axes: dict[str, str]) -> dict[str, Any]:
    return {column: m.case.get(name) for column, name in axes.items()}
