"""Segments of an index: made of runs, merged where they are many and small, and held against what was written."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from attnlab.bench.analysis.index import duck
from attnlab.bench.analysis.index.keys import NO_FILE, Key, file_key, settled
from attnlab.bench.analysis.index.manifest import DamagedLine, Entry, Segment
from attnlab.bench.analysis.index.rows import RUN_COLUMNS, NoRow, measurement_columns, measurement_rows, run_row
from attnlab.bench.analysis.index.sketches import Sketches
from attnlab.bench.analysis.metrics import own_metrics
from attnlab.bench.contract.metric import Metric
from attnlab.bench.errors import StoreError
from attnlab.bench.store.collector import paused_collector
from attnlab.bench.store.records import Measurement
from attnlab.bench.store.run_folder import read_lines, read_record

FULL_ROWS = 50_000  # of a segment that is not merged any more, or twice as many
MOST_SMALL = 8  # segments that are not full
BY_BENCHMARK = ("operator", "implementation", "case_id", "number")
KINDS = ("measurements", "runs")


@dataclass(frozen=True)
class Task:
    """A run to be read: the name of its folder, the key of its files as they were seen, and its number."""

    name: str
    key: Key
    number: int


@dataclass(frozen=True)
class Made:
    """What became of some runs: their entries by name, and the segment that holds them; None where it had no row."""

    entries: dict[str, Entry]
    segment: Segment | None


def files_of(place: Path, name: str) -> tuple[Path, Path]:
    """A segment's two files."""
    measurements, runs = (place / f"{name}.{kind}.parquet" for kind in KINDS)
    return measurements, runs


def make_segment(folder: Path, place: Path, tasks: Sequence[Task]) -> Made:
    """Read runs of a folder, and write what they hold as a segment; raises OSError, or what DuckDB raises."""
    name = secrets.token_hex(8)
    metrics = own_metrics()
    entries: dict[str, Entry] = {}
    texts = [place / f"{name}.{kind}.json" for kind in KINDS]
    try:
        with texts[0].open("wb") as measurements, texts[1].open("wb") as runs:
            for task in tasks:
                entry, run, rows = _read(folder, task, metrics)
                if run is not None:
                    measurements.writelines(row + b"\n" for row in rows)
                    runs.write(run + b"\n")
                    entry = replace(entry, segment=name)
                entries[task.name] = entry
        if all(entry.segment is None for entry in entries.values()):
            return Made(entries, None)
        with duck.connected() as connection:
            files = files_of(place, name)
            count = duck.to_parquet(
                connection, duck.json_lines(texts[0], measurement_columns()), BY_BENCHMARK, files[0]
            )
            duck.to_parquet(connection, duck.json_lines(texts[1], RUN_COLUMNS), ["number"], files[1])
        return Made(entries, _written(place, name, count))
    finally:
        for text in texts:
            with suppress(OSError):
                text.unlink(missing_ok=True)


@paused_collector()
def _read(folder: Path, task: Task, metrics: Sequence[Metric]) -> tuple[Entry, bytes | None, list[bytes]]:
    """A run's entry, and its rows where columns can hold them."""
    entry = Entry(task.key if settled(task.key) else NO_FILE, task.number)
    path = folder / task.name
    try:
        record = read_record(path)
        lines = read_lines(path)
    except StoreError:
        return replace(entry, broken=True), None, []
    sketches, damages = Sketches(record, metrics), []
    for line in lines:
        held = line.held()
        if isinstance(held, Measurement):
            sketches.add(line, held)
        else:
            damages.append(DamagedLine(line.number, held))
    entry = replace(entry, run_id=record.run_id, started=record.started, damages=tuple(damages))
    try:
        rows = list(measurement_rows(task.number, sketches))
        run = run_row(task.number, task.name, record, len(rows), len(damages))
        return replace(entry, rows=len(rows)), run, rows
    except NoRow:
        return entry, None, []


def _written(place: Path, name: str, rows: int) -> Segment:
    first, second = files_of(place, name)
    return Segment(name, rows, (file_key(first), file_key(second)), (_digest_of_file(first), _digest_of_file(second)))


def _digest_of_file(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def is_whole(place: Path, segment: Segment) -> bool:
    """Whether a segment's files are those that were written."""
    for file, key, digest in zip(files_of(place, segment.name), segment.keys, segment.digests, strict=True):
        found = file_key(file)
        if found != key and (found[1] != key[1] or _digest_of_file(file) != digest):
            return False
    return True


def merged(
    place: Path, runs: Mapping[str, Entry], segments: Iterable[Segment]
) -> tuple[dict[str, Entry], list[Segment]]:
    """The runs and the segments after what is small, or holds much that no run names any more, has been merged.

    Raises OSError, or what DuckDB raises.
    """
    live: dict[str, int] = {}
    for entry in runs.values():
        if entry.segment is not None:
            live[entry.segment] = live.get(entry.segment, 0) + entry.rows
    kept = [segment for segment in segments if segment.name in live]
    small = [s for s in kept if live[s.name] < FULL_ROWS / 2 or live[s.name] < s.rows / 2]
    if len(small) <= MOST_SMALL:
        return dict(runs), kept
    entries, made = dict(runs), []
    for group in _groups(small, live):
        names = {segment.name for segment in group}
        members = {name: entry for name, entry in runs.items() if entry.segment in names}
        segment = _merge(place, sorted(names), sorted(entry.number for entry in members.values()))
        made.append(segment)
        entries |= {name: replace(entry, segment=segment.name) for name, entry in members.items()}
    merged_names = {segment.name for segment in small}
    return entries, [*(segment for segment in kept if segment.name not in merged_names), *made]


def _groups(segments: Sequence[Segment], live: Mapping[str, int]) -> list[list[Segment]]:
    groups: list[list[Segment]] = []
    filled = 0
    for segment in segments:
        if not groups or filled >= FULL_ROWS:
            groups.append([])
            filled = 0
        groups[-1].append(segment)
        filled += live[segment.name]
    return groups


def _merge(place: Path, names: Sequence[str], numbers: Sequence[int]) -> Segment:
    name = secrets.token_hex(8)
    out = files_of(place, name)
    sources = list(zip(*(files_of(place, source) for source in names), strict=True))
    with duck.connected() as connection:
        connection.execute("CREATE TABLE live AS SELECT unnest(?::BIGINT[]) AS number", [list(numbers)])
        still = "SELECT * FROM read_parquet({}) SEMI JOIN live USING (number)"
        counts = [
            duck.to_parquet(connection, still.format(duck.paths(files)), order, file)
            for files, order, file in zip(sources, (BY_BENCHMARK, ("number",)), out, strict=True)
        ]
    return _written(place, name, counts[0])
