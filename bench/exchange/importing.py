"""A file of another tool as a run of ours: what it lacks is unknown, and nothing of it was checked."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnlab.bench.errors import StoreError, UnknownName, UsageError
from attnlab.bench.exchange.foreign import Contents
from attnlab.bench.exchange.readers import READERS, Reader
from attnlab.bench.store.bounded import bounded
from attnlab.bench.store.imported import Imported
from attnlab.bench.store.json_text import values_of
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.plain_file import plain_bytes
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome, RunRecord
from attnlab.bench.store.run_folder import RunWriter
from attnlab.bench.text import count, one_line

AUTO = "auto"
DIGITS = 8  # of the digest, in a run's id
MOST_TOLD = 3  # reasons in an error
PACKED = {"gzip": b"\x1f\x8b", "zip": b"PK\x03\x04", "zstd": b"\x28\xb5\x2f\xfd", "xz": b"\xfd7zXZ\0", "bzip2": b"BZh"}


@dataclass(frozen=True)
class ImportedRun:
    """What was written, and what was left out of the file, a line each."""

    folder: Path
    results: int
    left_out: tuple[str, ...]


def import_file(path: Path, out: Path, form: str = AUTO, started: datetime | None = None) -> ImportedRun:
    """Write what a file holds as a run below `out`.

    form: the name of a reader, or "auto" for the one that the file fits. started: when it was measured, where the file
    does not say. Raises UnknownName and StoreError; nothing is written then.
    """
    if form != AUTO and form not in READERS:
        raise UnknownName("format", form, [AUTO, *READERS.names()])
    raw = _bytes(path)
    data, cut = _values(raw, path)
    reader = _reader(data, path, form)
    contents = reader.read(data, path)
    kept, twice = _once(contents.measurements)
    left_out = (*cut, *contents.left_out, *twice)
    if not kept:
        reasons = "; ".join(left_out[:MOST_TOLD]) or "its list of benchmarks is empty"
        raise StoreError(f"{path} holds no result of {reader.name} that can be read: {reasons}")
    digest = hashlib.sha256(raw).hexdigest()
    source = Imported(reader.name, contents.version, one_line(path.name), digest, tuple(map(one_line, left_out)))
    if (before := next(out.glob(f"*-{reader.name}-{digest[:DIGITS]}"), None)) is not None:
        raise StoreError(f"{path} was imported before, as {before}; remove that to import it again")
    run = _run(
        source, contents, kept, started, f"attnlab results import {shlex.quote(path.name)} --format {reader.name}"
    )
    told = f"unchecked: imported from {reader.name}, and nothing here knows whether it is right"
    guessed = started is None and contents.started is None
    flags = (told, "when it was measured is not in its file: the time is that of the import") if guessed else (told,)
    writer = RunWriter.create(out, run)
    try:
        for m in kept:
            own = (*flags, *m.flags) if m.outcome is Outcome.UNCHECKED else m.flags
            writer.append(bounded(replace(m, flags=own)))
    finally:
        writer.close()
    return ImportedRun(writer.folder, len(kept), left_out)


def _bytes(path: Path) -> bytes:
    try:
        return plain_bytes(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error


def _values(raw: bytes, path: Path) -> tuple[Any, tuple[str, ...]]:
    """The values of a JSON text, or those of its lines where each is one; and which lines are none."""
    packed = next((kind for kind, mark in PACKED.items() if raw.startswith(mark)), None)
    if packed is not None:
        raise StoreError(f"{path} is packed by {packed}; unpack it, and import what was in it")
    encoding = json.detect_encoding(raw)
    try:
        return values_of(raw.decode(encoding)), ()
    except (ValueError, RecursionError) as error:
        why = one_line(str(error))
    values: list[Any] = []
    left_out: list[str] = []
    lines = raw.decode(encoding, "backslashreplace").split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                values.append(values_of(line))
            except (ValueError, RecursionError) as error:
                left_out.append(f"line {number}: {one_line(str(error))}")
    if not any(isinstance(value, dict) for value in values):
        raise StoreError(f"{path} is no JSON, or was cut: {why}; have its tool write it again")
    return values, tuple(left_out)


def _reader(data: Any, path: Path, form: str) -> Reader:
    if form != AUTO:
        reader = READERS.get(form)
        if not reader.fits(data):
            raise StoreError(f"{path} is no file of {form}; expected {reader.summary}{_others(data)}")
        return reader
    fitting = [reader for reader in READERS if reader.fits(data)]
    if len(fitting) != 1:
        known = "; ".join(f"{reader.name}: {reader.summary}" for reader in READERS)
        what = "of no format that is known" if not fitting else f"of {' or '.join(r.name for r in fitting)}"
        raise UsageError(f"{path} is {what}; name one by --format ({known})")
    return fitting[0]


def _others(data: Any) -> str:
    fitting = [reader.name for reader in READERS if reader.fits(data)]
    return f"; it looks like one of {' or '.join(fitting)}" if fitting else ""


def _once(measurements: Iterable[Measurement]) -> tuple[list[Measurement], list[str]]:
    """The first of each benchmark, and what came twice."""
    found: dict[tuple[str, str, str], Measurement] = {}
    twice: list[str] = []
    for m in measurements:
        if found.setdefault(m.key, m) is not m:
            twice.append(f"{' '.join(m.key)}: it is there twice; the first is kept")
    return list(found.values()), twice


def _run(
    source: Imported, contents: Contents, kept: Sequence[Measurement], started: datetime | None, command: str
) -> RunRecord:
    when = contents.started or started or datetime.now(UTC)
    environment = contents.environment
    return RunRecord(
        run_id=f"{when:%Y%m%d-%H%M%S}-{source.tool}-{source.sha256[:DIGITS]}",
        suite=source.tool,
        started=when.isoformat(timespec="seconds"),
        command=command,
        benches=_benches(kept),
        environment=environment,
        ceilings=Ceilings(environment.device.name, environment.threads, math.nan, {}, None, 0.0),
        seed=None,
        cache="unknown",
        imported=source,
    )


def _benches(kept: Sequence[Measurement]) -> tuple[BenchRecord, ...]:
    """One for each operator and set of implementations that have the same cases, so that none is missing."""
    cases: dict[tuple[str, str], dict[str, None]] = {}
    for m in kept:
        cases.setdefault((m.operator, m.implementation), {})[m.case_id] = None
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (operator, implementation), own in cases.items():
        alike.setdefault((operator, tuple(own)), []).append(implementation)
    return tuple(BenchRecord(operator, tuple(names), None, own) for (operator, own), names in alike.items())


def told(done: ImportedRun) -> str:
    """`3 results in results/…`."""
    return f"{count(done.results, 'result')} in {done.folder}"
