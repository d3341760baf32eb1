"""The columns of the table of measurements: what stands in each, of a run, of a measurement and of its case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.store.records import Measurement, RunRecord

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
    "machine",
    "code",
    "imported",
)
TIMES = ("median_ns", "ci_low_ns", "ci_high_ns")
AXES_AT = 6  # after the case's id


def of_run(run: RunRecord) -> dict[str, Any]:
    """What stands in every row of a run."""
    return {
        "run_id": run.run_id,
        "started": run.started,
        "suite": run.suite,
        "device": run.environment.device.name,
        "code": "; ".join(f"{code.name} {code.sha256} {code.revision or 'untracked'}" for code in run.code) or None,
        "imported": str(run.imported) if run.imported else None,
    }


def of_row(row: Row) -> dict[str, Any]:
    """What stands in a row beside that, its case and its metrics."""
    m, shown = row.measurement, row.measurement.outcome.may_have_speed
    timing = m.timing if shown else None
    return {
        "operator": m.operator,
        "implementation": m.implementation,
        "case_id": m.case_id,
        "outcome": m.outcome.value,
        "reason": m.reason,
        "median_ns": m.median_ns if shown else None,
        "ci_low_ns": m.ci_low_ns if shown else None,
        "ci_high_ns": m.ci_high_ns if shown else None,
        "clock": timing and timing.clock,
        "cache": timing and timing.cache,
        "samples": timing and timing.samples,
        "deterministic": m.check.deterministic if m.check else None,
        "untimed": m.untimed,
        "configuration": m.configuration,
        "flags": flags_of(m),
        "fingerprint": m.fingerprint,
        "files": "; ".join(f"{axis} {held}" for axis, held in sorted(m.files.items())) or None,
        "machine": m.machine,
    }


def flags_of(m: Measurement) -> str | None:
    """All flags; None where there is none."""
    return "; ".join(m.flags) or None


def axes_of(cases: Iterable[Mapping[str, Any]], taken: Iterable[str]) -> dict[str, str]:
    """Column names to axis names, in the order in which the axes first appear; `taken` are names of other columns."""
    others = set(taken)
    names = dict.fromkeys(name for case in cases for name in case)
    return {f"axis_{name}" if name in others else name: name for name in names}


def in_order(axes: Iterable[str], metrics: Sequence[Metric]) -> list[str]:
    """All columns as they stand in the table."""
    return [*FIXED[:AXES_AT], *axes, *FIXED[AXES_AT:], *(metric.name for metric in metrics)]
