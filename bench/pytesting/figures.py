"""What is told of one measurement: figures for pytest-benchmark's `extra_info`, and the words of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnlab.bench import units
from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.contract.metric import Row
from attnlab.bench.store.records import CheckRecord, Measurement
from attnlab.bench.text_table import columns

HEADINGS = ("inputs", "output", "deviation", "value", "allowed")


def extra_info(row: Row) -> dict[str, Any]:
    """How the time was taken and every metric that has a value, as JSON values; units are in the names."""
    m = row.measurement
    told: dict[str, Any] = {
        "operator": m.operator,
        "implementation": m.implementation,
        "case": m.case_id or None,
        "device": row.run.environment.device.name,
        "threads": row.run.environment.threads,
        "configuration": m.configuration,
        "fingerprint": m.fingerprint,
        "operations": m.operations,
        "bytes_moved": m.bytes_moved,
        "ci_low_ns": m.ci_low_ns,
        "ci_high_ns": m.ci_high_ns,
    }
    if m.timing is not None:
        told |= {
            "clock": m.timing.clock,
            "cache": m.timing.cache,
            "stopped": m.timing.stopped,
            "warmup_calls": m.timing.warmup_calls,
            "effective_samples": m.timing.effective,
        }
    told |= {metric.name: metric.value(row) for metric in known_metrics()}
    kept = {name: value for name, value in told.items() if value is not None}
    return kept | ({"flags": list(m.flags)} if m.flags else {})


def failure_text(m: Measurement) -> str:
    """The outcome and its reason in a line, then the errors that were found, then the traceback if one was kept."""
    lines = [f"{m.outcome.value}: {m.reason}" if m.reason else m.outcome.value]
    if m.check is not None and m.check.sets:
        lines += ["", *columns([HEADINGS, *_errors(m.check)])]
    if m.detail:
        lines += ["", m.detail.rstrip()]
    return "\n".join(lines)


def _errors(check: CheckRecord) -> Iterator[tuple[str, ...]]:
    for found in check.sets:
        for d in found.deviations:
            values = (f"{units.format_error(value)} {d.unit}".rstrip() for value in (d.value, d.allowed))
            yield (found.inputs, d.output or "", d.name, *values)
