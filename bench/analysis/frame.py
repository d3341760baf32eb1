"""Runs as a pandas table: one row a measurement, or one row a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.analysis.metrics import figured_of, known_metrics
from attnlab.bench.contract.metric import Row
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.store.run_folder import StoredRun, latest, read_runs

if TYPE_CHECKING:
    import pandas as pd

FIXED = (
    "run_id",
    "started",
    "suite",
    "operator",
    "implementation",
    "case_id",
    "outcome",
    "reason",
    "median_ns",
    "ci_low_ns",
    "ci_high_ns",
    "clock",
    "cache",
    "samples",
    "deterministic",
    "untimed",
    "configuration",
    "device",
    "flags",
    "fingerprint",
    "files",
    "code",
    "imported",
)
TIMES = ("median_ns", "ci_low_ns", "ci_high_ns")


def load(path: Path | str, samples: bool = False) -> pd.DataFrame:
    """One run, or a folder of runs, as a DataFrame.

    One row for each implementation and case, with the case's axes, the outcome and every metric as
    columns; or, with `samples`, one row for each stored value of each quantity. What was not measured
    is NaN or None, never 0, and a wrong result has no figure of speed. What was imported is `unchecked`.
    An axis whose name is that of another column is called `axis_<name>`.
    """
    runs = read_runs(path)
    return samples_frame(runs) if samples else frame(runs)


def frame(runs: Sequence[StoredRun]) -> pd.DataFrame:
    """One row for each implementation and case of the runs."""
    import pandas as pd

    metrics = known_metrics()
    rows = [figured for stored in runs for figured in figured_of(stored.run, stored.measurements, metrics)]
    taken = {*FIXED, *(metric.name for metric in metrics)}
    axes = _axes((row.measurement for row, _ in rows), taken)
    order = [*FIXED[:6], *axes, *FIXED[6:], *(metric.name for metric in metrics)]
    unknown = dict.fromkeys(metric.name for metric in metrics)
    table = pd.DataFrame([_record(row, axes) | unknown | values for row, values in rows], columns=order)
    for name in (*TIMES, *(metric.name for metric in metrics)):
        if not any(isinstance(value, str) for value in table[name]):
            table[name] = table[name].astype(float)  # a column of None alone would not be numbers
    return table


def samples_frame(runs: Sequence[StoredRun]) -> pd.DataFrame:
    """One row for each value stored of a result that passed or is unchecked, of any quantity."""
    import pandas as pd

    kept = [(stored.run, m) for stored in runs for m in latest(stored.measurements)]
    ours = ("quantity", "unit", "clock", "launch", "burst", "started_s", "sample", "value")
    identity = ("run_id", "operator", "implementation", "case_id", "device")
    axes = _axes((m for _, m in kept), {*ours, *identity})
    records = [record for run, m in kept for record in _samples(run, m, axes)]
    return pd.DataFrame(records, columns=[*identity, *axes, *ours])


def _record(row: Row, axes: dict[str, str]) -> dict[str, Any]:
    m, run, shown = row.measurement, row.run, row.measurement.outcome.may_have_speed
    return {
        "run_id": run.run_id,
        "started": run.started,
        "suite": run.suite,
        "operator": m.operator,
        "implementation": m.implementation,
        "case_id": m.case_id,
        **_case(m, axes),
        "outcome": m.outcome.value,
        "reason": m.reason,
        "median_ns": m.median_ns if shown else None,
        "ci_low_ns": m.ci_low_ns if shown else None,
        "ci_high_ns": m.ci_high_ns if shown else None,
        "clock": m.timing.clock if m.timing and shown else None,
        "cache": m.timing.cache if m.timing and shown else None,
        "samples": m.timing.samples if m.timing and shown else None,
        "deterministic": m.check.deterministic if m.check else None,
        "untimed": m.untimed,
        "configuration": m.configuration,
        "device": run.environment.device.name,
        "flags": "; ".join(m.flags) or None,
        "fingerprint": m.fingerprint,
        "files": "; ".join(f"{axis} {held}" for axis, held in sorted(m.files.items())) or None,
        "code": "; ".join(f"{code.name} {code.sha256} {code.revision or 'untracked'}" for code in run.code) or None,
        "imported": str(run.imported) if run.imported else None,
    }


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


def _axes(measurements: Iterable[Measurement], taken: set[str]) -> dict[str, str]:
    """Column names to axis names, in the order in which the axes first appear."""
    names = dict.fromkeys(name for m in measurements for name in m.case)
    return {f"axis_{name}" if name in taken else name: name for name in names}


def _case(m: Measurement, axes: dict[str, str]) -> dict[str, Any]:
    return {column: m.case.get(name) for column, name in axes.items()}
