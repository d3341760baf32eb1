"""The rows of an index: what is kept of a measurement, and of a run, as JSON values for the columns of a segment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from attnlab.bench.analysis.columns import of_run
from attnlab.bench.analysis.index.sketches import Sketches
from attnlab.bench.analysis.metrics import own_metrics
from attnlab.bench.contract.metric import Metric
from attnlab.bench.store.codec import decode, decode_text, encode
from attnlab.bench.store.records import SCHEMA_VERSION, Measurement, RunRecord, TimingRecord

MOST_BYTES = 1 << 20  # of a row: a longer one is no row of a table
ALWAYS_FINITE = frozenset({str, int, bool})
LARGEST = 2**63 - 1  # of a whole number in a column

MEASUREMENT_COLUMNS = {
    "number": "BIGINT",
    "position": "BIGINT",
    "line": "BIGINT",
    "byte_offset": "BIGINT",
    "byte_length": "BIGINT",
    "case": "VARCHAR",
    "operator": "VARCHAR",
    "implementation": "VARCHAR",
    "case_id": "VARCHAR",
    "outcome": "VARCHAR",
    "reason": "VARCHAR",
    "median_ns": "DOUBLE",
    "ci_low_ns": "DOUBLE",
    "ci_high_ns": "DOUBLE",
    "clock": "VARCHAR",
    "cache": "VARCHAR",
    "samples": "BIGINT",
    "deterministic": "BOOLEAN",
    "untimed": "VARCHAR",
    "configuration": "VARCHAR",
    "flags": "VARCHAR",
    "fingerprint": "VARCHAR",
    "files": "VARCHAR",
    "machine": "VARCHAR",
    "outline": "VARCHAR",
}
RUN_COLUMNS = {
    "number": "BIGINT",
    "run": "VARCHAR",
    "run_id": "VARCHAR",
    "started": "VARCHAR",
    "suite": "VARCHAR",
    "device": "VARCHAR",
    "code": "VARCHAR",
    "imported": "VARCHAR",
    "command": "VARCHAR",
    "device_kind": "VARCHAR",
    "processor": "VARCHAR",
    "cores": "BIGINT",
    "threads": "BIGINT",
    "memory_bytes": "BIGINT",
    "system": "VARCHAR",
    "python": "VARCHAR",
    "torch": "VARCHAR",
    "packages": "VARCHAR",
    "revision": "VARCHAR",
    "dirty": "BOOLEAN",
    "bandwidth_b_per_s": "DOUBLE",
    "read_bandwidth_b_per_s": "DOUBLE",
    "schema_version": "BIGINT",
    "definitions_version": "BIGINT",
    "seed": "BIGINT",
    "measurements": "BIGINT",
    "damaged_lines": "BIGINT",
    "record": "VARCHAR",
}


class NoRow(Exception):
    """A run holds something that a column cannot: it is read from its folder each time."""


def measurement_columns() -> dict[str, str]:
    """The columns of a segment's measurements by name, with their types in SQL; metrics come last."""
    return MEASUREMENT_COLUMNS | {metric.name: type_of(metric) for metric in own_metrics()}


def type_of(metric: Metric) -> str:
    return "DOUBLE" if metric.unit else "VARCHAR"


def measurement_rows(number: int, sketches: Sketches) -> Iterator[bytes]:
    """A JSON text for each implementation and case of a run; raises NoRow."""
    for position, (sketch, values) in enumerate(sketches.rows()):
        line, outline = sketch.line, sketch.outline
        if not _is_plain(outline):
            raise NoRow
        values |= {
            "number": number,
            "position": position,
            "line": line.number,
            "byte_offset": line.offset,
            "byte_length": len(line.text),
            "case": _json(outline.case),
            "outline": _json(outline),
        }
        yield _text(values)


def _is_plain(m: Measurement) -> bool:
    """Whether JSON keeps what a row is made of: it has no number that is not finite."""
    amounts = (*m.case.values(), *m.reported.values())
    plain = ALWAYS_FINITE.issuperset(map(type, amounts)) or all(map(_finite, amounts))
    return plain and (m.timing is None or _is_plain_timing(m.timing))


def _is_plain_timing(timing: TimingRecord) -> bool:
    return all(map(_finite, (timing.warmup_ns, timing.effective, *timing.nulls_ns.values())))


def _finite(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, float) or math.isfinite(value)


def run_row(number: int, name: str, run: RunRecord, rows: int, damaged: int) -> bytes:
    """The JSON text of a run; raises NoRow."""
    e = run.environment
    record = _json(encode(run))
    if repr(run_of(record)) != repr(run):
        raise NoRow
    return _text(
        {
            "number": number,
            "run": name,
            **of_run(run),
            "command": run.command,
            "device_kind": e.device.kind,
            "processor": e.processor,
            "cores": e.cores,
            "threads": e.threads,
            "memory_bytes": e.memory_bytes,
            "system": e.system,
            "python": e.python,
            "torch": e.packages.get("torch"),
            "packages": _json(e.packages),
            "revision": e.revision,
            "dirty": e.dirty,
            "bandwidth_b_per_s": _known(run.ceilings.bandwidth),
            "read_bandwidth_b_per_s": _known(run.ceilings.read_bandwidth),
            "schema_version": run.schema_version,
            "definitions_version": run.definitions_version,
            "seed": run.seed,
            "measurements": rows,
            "damaged_lines": damaged,
            "record": record,
        }
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def run_of(record: str) -> RunRecord:
    """The record that a row of runs keeps."""
    text = record.encode()
    plain = decode_text(RunRecord, text, range(1, SCHEMA_VERSION + 1))
    return decode(RunRecord, msgspec.json.decode(text)) if plain is None else plain


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise NoRow from error


def _text(row: Mapping[str, Any]) -> bytes:
    """The values that there are."""
    known: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if type(value) is int and abs(value) > LARGEST:
            raise NoRow
        known[name] = value
    try:
        text = msgspec.json.encode(known)
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise NoRow from error
    if len(text) > MOST_BYTES:
        raise NoRow
    return text
