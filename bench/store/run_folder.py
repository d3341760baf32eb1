"""A run's folder: run.json, and measurements.jsonl appended one measurement at a time."""

from __future__ import annotations

import itertools
import json
import math
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from attnlab.bench.errors import StoreError, StoreWarning
from attnlab.bench.store.bounded import bounded
from attnlab.bench.store.codec import decode, decode_text, encode
from attnlab.bench.store.collector import paused_collector
from attnlab.bench.store.damages import Damage
from attnlab.bench.store.folders import folder_name, new_folder
from attnlab.bench.store.json_text import spells_clean, values_of
from attnlab.bench.store.locking import take
from attnlab.bench.store.plain_file import plain_bytes
from attnlab.bench.store.records import SCHEMA_VERSION, Measurement, RunRecord
from attnlab.bench.store.shown import as_html, in_a_line
from attnlab.bench.store.upgrades import STRICT_SINCE, upgraded
from attnlab.bench.text import one_line
from attnlab.bench.whole_file import whole_file

RUN_FILE = "run.json"
MEASUREMENTS_FILE = "measurements.jsonl"
SAME_FORM = range(STRICT_SINCE, SCHEMA_VERSION + 1)  # schema versions of measurements that need no upgrade
MOST_OF_ANY = 10**30  # operations, bytes: more is no work of this world, and no float
LONGEST_NS = 1e20  # of a call: three thousand years


@dataclass(frozen=True)
class StoredRun:
    """A run as it lies on disk; damaged lines are named, never silently dropped."""

    path: Path
    run: RunRecord
    measurements: tuple[Measurement, ...]
    damages: tuple[Damage, ...] = ()

    def __repr__(self) -> str:
        return f"StoredRun({self._line()})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(self._line(), latest(self.measurements))

    def _line(self) -> str:
        return in_a_line(str(self.path), self.run, latest(self.measurements), len(self.damages))


class RunWriter:
    """Appends measurements to a run's folder; each is on disk before the next is taken.

    Raises StoreError where the folder cannot be written, or another process writes to it now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MEASUREMENTS_FILE
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise _unwritable(folder, error) from error
        if not take(self._file):
            self._file.close()
            raise StoreError(f"{folder} is being written by another process; wait for its end, or end it")
        self._mend_tail()

    @classmethod
    def create(cls, parent: Path, run: RunRecord) -> RunWriter:
        """Start a run in a folder of its own below `parent`, named by its id.

        Where that is taken, `-2`, `-3` … is added to the id. Nothing is ever overwritten.
        """
        folder = parent / folder_name(run.run_id)
        try:
            folder = new_folder(folder)
            text = json.dumps(encode(replace(run, run_id=folder.name)), indent=1) + "\n"
            (folder / RUN_FILE).write_text(text, encoding="utf-8")
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder)

    def rewrite(self, run: RunRecord) -> None:
        """Put this record in the place of the run's own, at once or not at all."""
        try:
            with whole_file(self.folder / RUN_FILE) as part:
                part.write_text(json.dumps(encode(run), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def append(self, measurement: Measurement) -> None:
        line = json.dumps(encode(measurement), separators=(",", ":")) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.folder}: {error.strerror}; what was measured before is kept: "
                f"make room, then go on with --resume {self.folder}"
            ) from error

    def close(self) -> None:
        with suppress(OSError):  # what could not be written was told by `append`
            self._file.close()

    def _mend_tail(self) -> None:
        """End a line that was cut by a kill, so that the next one starts on its own."""
        size = self._file.seek(0, os.SEEK_END)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")


def check_writable(parent: Path) -> None:
    """Raise StoreError where no folder can be made below `parent`; makes `parent`."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13))
    except OSError as error:
        raise _unwritable(parent, error) from error


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write to {folder}: {error.strerror}; take another folder with --out")


@paused_collector()
def read_run(folder: Path | str) -> StoredRun:
    """Read one run; raises StoreError where run.json is missing, damaged or of a later schema."""
    folder = Path(folder)
    run = read_record(folder)
    measurements: list[Measurement] = []
    damages: list[Damage] = []
    for line in read_lines(folder):
        held = line.held()
        if isinstance(held, Measurement):
            measurements.append(held)
        else:
            damages.append(Damage(folder / MEASUREMENTS_FILE, line.number, held))
    return StoredRun(folder, run, tuple(measurements), tuple(damages))


def read_record(folder: Path) -> RunRecord:
    """What is known of a whole run, without its measurements; raises StoreError as `read_run`."""
    path = folder / RUN_FILE
    try:
        text = plain_bytes(path)
        if spells_clean(text) and (plain := decode_text(RunRecord, text, range(1, SCHEMA_VERSION + 1))) is not None:
            return _sound_run(plain)
        data = values_of(text.decode("utf-8"))
        later = _later_schema(data)
        if later is not None:
            raise StoreError(f"{path} {later}; update attnlab, or read it with the version that wrote it")
        return _sound_run(decode(RunRecord, data))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"{folder} holds no run: {RUN_FILE} is missing; give a folder that `attnlab run` wrote"
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {one_line(str(error))}; restore it, or run the suite again") from error


def _warn(text: str) -> None:
    warnings.warn(text, StoreWarning, stacklevel=4)


def run_folders(path: Path | str) -> list[Path]:
    """The folder where it is a run's, or those in it that are, by name. Raises StoreError where there is none."""
    folder = Path(path)
    if not folder.exists():
        raise StoreError(f"{folder} does not exist; expected a run, or a folder of runs")
    if (folder / RUN_FILE).exists():
        return [folder]
    found = sorted(file.parent for file in folder.glob(f"*/{RUN_FILE}"))
    if not found:
        raise StoreError(f"{folder} holds no run: {RUN_FILE} is missing; give a folder that `attnlab run` wrote")
    return found


@paused_collector()
def read_runs(path: Path | str, tell: Callable[[str], None] = _warn) -> list[StoredRun]:
    """The run in a folder, or those in its sub-folders, oldest first.

    A run among several that cannot be read costs the others nothing: `tell` is told of it. Raises StoreError where
    there is none that can be read.
    """
    folders = run_folders(path)
    if folders == [Path(path)]:
        return [read_run(folders[0])]
    runs: list[StoredRun] = []
    broken: list[StoreError] = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except StoreError as error:
            broken.append(error)
    if not runs:
        raise broken[0]
    for why in broken:
        tell(f"{why}; the other runs are read without it")
    return sorted(runs, key=lambda stored: (stored.run.started, stored.run.run_id))


def latest(measurements: Sequence[Measurement]) -> list[Measurement]:
    """One measurement for each implementation and case: the last, where a resumed run measured again."""
    return list({m.key: m for m in measurements}.values())


class Line(NamedTuple):
    """A line of a run's measurements: its number from 1, and at which byte it begins."""

    number: int
    offset: int
    text: bytes

    def held(self) -> Measurement | str:
        """What it holds, or why nothing."""
        try:
            return _sound(_measurement(self.text))
        except (ValueError, RecursionError) as error:
            return f"unreadable measurement: {one_line(str(error))}"


def read_lines(folder: Path) -> list[Line]:
    """The lines of a run's measurements that hold something; raises StoreError where they cannot be read."""
    path = folder / MEASUREMENTS_FILE
    try:
        texts = plain_bytes(path).split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    offsets = itertools.accumulate((len(text) + 1 for text in texts), initial=0)
    return [
        Line(number, offset, text)
        for number, (offset, text) in enumerate(zip(offsets, texts, strict=False), start=1)
        if text.strip()
    ]


def _measurement(line: bytes) -> Measurement:
    """What a line holds; raises ValueError or RecursionError where that is no measurement that can be read here."""
    if spells_clean(line) and (plain := decode_text(Measurement, line, SAME_FORM)) is not None:
        return plain
    data = values_of(line.decode("utf-8"))
    if (later := _later_schema(data)) is not None:
        raise ValueError(later)
    return decode(Measurement, upgraded(data))


def _sound(measurement: Measurement) -> Measurement:
    """The measurement in words that can be shown; raises ValueError where a figure is none."""
    for name in ("median_ns", "ci_low_ns", "ci_high_ns"):
        value = getattr(measurement, name)
        if value is not None and not 0 < value < LONGEST_NS:
            raise ValueError(f"got {name} {value!r}, expected nanoseconds above zero, and less than {LONGEST_NS:g}")
    for name in ("operations", "bytes_moved", "bytes_written"):
        amount = getattr(measurement, name)
        if amount is not None and not 0 <= amount < MOST_OF_ANY:
            raise ValueError(f"got {name} {one_line(repr(amount), 40)}, expected an amount of 0 or more")
    return bounded(measurement)


def _sound_run(run: RunRecord) -> RunRecord:
    """The record of a run; raises ValueError where its device could do nothing."""
    c = run.ceilings
    rates = {"bandwidth": c.bandwidth, "read bandwidth": c.read_bandwidth, "cache bandwidth": c.cache_bandwidth}
    if c.published is not None:
        rates |= {"published bandwidth": c.published.bandwidth}
        rates |= {f"published rate of {dtype}": rate for dtype, rate in c.published.rates.items()}
    for name, rate in (rates | {f"rate of {dtype}": rate for dtype, rate in c.rates.items()}).items():
        if rate is not None and not math.isnan(rate) and not 0 < rate < math.inf:  # NaN: not measured
            raise ValueError(f"got {name} {rate!r}, expected a rate above zero")
    return run


def _later_schema(data: Any) -> str | None:
    """How a record is too new to be read here; None where it is not. Raises ValueError on no version."""
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"got schema version {version!r}, expected 1 to {SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        return f"is of schema version {version}, and this attnlab reads up to {SCHEMA_VERSION}"
    return None
