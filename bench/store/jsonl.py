"""A run's folder: run.json, and measurements.jsonl appended one measurement at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.errors import StoreError
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import SCHEMA_VERSION, Measurement, RunRecord

RUN_FILE = "run.json"
MEASUREMENTS_FILE = "measurements.jsonl"


@dataclass(frozen=True)
class Damage:
    """A line that could not be read, and why."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class StoredRun:
    """A run as it lies on disk; damaged lines are named, never silently dropped."""

    path: Path
    run: RunRecord
    measurements: tuple[Measurement, ...]
    damages: tuple[Damage, ...] = ()


class RunWriter:
    """Appends measurements to a run's folder; each is on disk before the next is taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MEASUREMENTS_FILE
        self._mend_tail(path)
        self._file = path.open("a", encoding="utf-8")

    @classmethod
    def create(cls, folder: Path, run: RunRecord) -> RunWriter:
        """Start a new run; raises StoreError where the folder holds one or cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / RUN_FILE).exists():
                raise StoreError(f"{folder} holds a run already; take another --out, or go on with --resume")
            (folder / RUN_FILE).write_text(json.dumps(encode(run), indent=1) + "\n", encoding="utf-8")
            return cls(folder)
        except OSError as error:
            raise StoreError(
                f"cannot write to {folder}: {error.strerror}; take another folder with --out"
            ) from error

    def append(self, measurement: Measurement) -> None:
        self._file.write(json.dumps(encode(measurement), separators=(",", ":")) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def _mend_tail(path: Path) -> None:
        """End a line that was cut by a kill, so that the next one starts on its own."""
        if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")


def read_run(folder: Path) -> StoredRun:
    """Read one run; raises StoreError where run.json is missing or damaged."""
    path = folder / RUN_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        _check_version(data)
        run = decode(RunRecord, data)
    except FileNotFoundError:
        raise StoreError(
            f"{folder} holds no run: {RUN_FILE} is missing; give a folder that `attnlab run` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}; restore it, or run the suite again") from error
    measurements, damages = _read_lines(folder / MEASUREMENTS_FILE)
    return StoredRun(folder, run, measurements, damages)


def read_runs(path: Path | str) -> list[StoredRun]:
    """The run in a folder, or those in its sub-folders, oldest first."""
    folder = Path(path)
    if not folder.exists():
        raise StoreError(f"{folder} does not exist; expected a run, or a folder of runs")
    if (folder / RUN_FILE).exists():
        return [read_run(folder)]
    runs = [read_run(file.parent) for file in sorted(folder.glob(f"*/{RUN_FILE}"))]
    if not runs:
        raise StoreError(
            f"{folder} holds no run: {RUN_FILE} is missing; give a folder that `attnlab run` wrote"
        )
    return sorted(runs, key=lambda stored: stored.run.started)


def latest(measurements: Sequence[Measurement]) -> list[Measurement]:
    """One measurement for each implementation and case: the last, where a resumed run measured again."""
    return list({m.key: m for m in measurements}.values())


def _read_lines(path: Path) -> tuple[tuple[Measurement, ...], tuple[Damage, ...]]:
    if not path.exists():
        return (), ()
    measurements: list[Measurement] = []
    damages: list[Damage] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line.decode("utf-8"))
            _check_version(data)
            measurements.append(decode(Measurement, data))
        except ValueError as error:
            damages.append(Damage(path, number, f"unreadable measurement: {error}"))
    return tuple(measurements), tuple(damages)


def _check_version(data: Any) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ValueError(f"schema version {version!r}; this attnlab reads up to {SCHEMA_VERSION}")
