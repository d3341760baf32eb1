"""Old runs that nothing names, and their removal; what is no run, or is named, is never touched."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attnlab.bench.errors import StoreError, UsageError
from attnlab.bench.store.folders import GATE_FILE
from attnlab.bench.store.locking import take
from attnlab.bench.store.mentions import mentions
from attnlab.bench.store.records import INTERLEAVED, RunRecord
from attnlab.bench.store.run_folder import MEASUREMENTS_FILE, RUN_FILE, read_record

KEEP_FILE = "keep.txt"
OWN = (RUN_FILE, MEASUREMENTS_FILE, "failures")
"""What a run's folder holds; one with anything else in it is not removed."""

AGE = re.compile(r"(\d{1,4})([hdw])")
UNITS = {"h": "hours", "d": "days", "w": "weeks"}
BEING_REMOVED = ".removing-"  # begins the name of a folder that is on its way out


@dataclass(frozen=True)
class Entry:
    """A folder among runs, and why it is kept; None where it may go. bytes: of its files."""

    path: Path
    kept: str | None
    bytes: int = 0


def age_of(text: str) -> timedelta:
    """`90d`, `12h` or `4w`. Raises UsageError on anything else, and on an age of nothing."""
    found = AGE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(f"got an age of {text!r}; expected a number above zero with h, d or w, such as 90d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def look(folder: Path, age: timedelta, reports: tuple[Path, ...], keep: Path | None, now: datetime) -> list[Entry]:
    """Every folder directly in `folder`, with why it is kept where it is.

    reports: files, and folders of files, that may name a run, beside what lies among the runs. keep: a file of names
    that are kept, one a line. Raises StoreError where one of them cannot be read: what it names is not known then.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder; expected one of runs")
    if (folder / RUN_FILE).exists():
        raise StoreError(f"{folder} is a run; expected a folder of runs")
    kept = dict(_kept(keep)) if keep else {}
    entries: list[Entry] = []
    old: dict[Path, RunRecord] = {}
    gated = "an arm of a gate" if (folder / GATE_FILE).exists() else None
    for path in sorted(path for path in folder.iterdir() if path.is_dir() or path.is_symlink()):
        found = _record(path)
        why = gated or (found if isinstance(found, str) else _why_kept(path, found, now - age))
        entries.append(Entry(path, why))
        if why is None and not isinstance(found, str):
            old[path] = found
    names = {name for path, run in old.items() for name in (path.name, run.run_id)} - {""}
    named = mentions(names, [*reports, *_beside(folder)]) | kept
    return [_looked_through(entry, old[entry.path], named) if entry.path in old else entry for entry in entries]


def _beside(folder: Path) -> list[Path]:
    """What lies among runs and is none, as gates and notes: it may name some. What is hidden is no one's text."""
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.exists() and not (path / RUN_FILE).exists()
    ]


def remove(entry: Entry) -> None:
    """Take a run away, whole or not at all as far as others can see. Raises StoreError where it cannot be."""
    aside = entry.path.with_name(f"{BEING_REMOVED}{entry.path.name}")
    try:
        entry.path.rename(aside)
        shutil.rmtree(aside)  # takes links themselves away, never what they lead to
    except OSError as error:
        raise StoreError(
            f"{entry.path} cannot be removed: {error.strerror or error}; what is left is {aside}"
        ) from error


def _record(path: Path) -> RunRecord | str:
    """The record of a run, or why there is none that could be removed."""
    if path.is_symlink():
        return "a link, which is not followed"
    if not (path / RUN_FILE).exists():
        return "no run"
    if (path / RUN_FILE).is_symlink():
        return f"its {RUN_FILE} is a link"
    try:
        return read_record(path)
    except StoreError as error:
        return f"it cannot be read: {error}"


def _why_kept(path: Path, run: RunRecord, before: datetime) -> str | None:
    """By what lies in the folder itself."""
    try:
        started = datetime.fromisoformat(run.started)
    except ValueError:
        return f"it started at {run.started!r}, which is no time"
    if (started if started.tzinfo else started.replace(tzinfo=UTC)) > before:
        return f"it started at {run.started}"
    if INTERLEAVED in run.extra:
        return "an arm of a gate"
    if others := sorted(one.name for one in path.iterdir() if one.name not in OWN):
        return f"it holds {others[0]}, which is not of a run"
    return "another process writes to it" if _is_written(path / MEASUREMENTS_FILE) else None


def _looked_through(entry: Entry, run: RunRecord, named: Mapping[str, str]) -> Entry:
    """With who names it, or with its size."""
    why = named.get(entry.path.name) or named.get(run.run_id)
    return Entry(entry.path, why, 0 if why else sum(file.lstat().st_size for file in entry.path.rglob("*")))


def _is_written(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not take(file)
    except OSError:  # no such file
        return False


def _kept(keep: Path) -> Iterator[tuple[str, str]]:
    """Names in a file: a run's id or its folder, one a line; what follows a # is a remark."""
    try:
        lines = keep.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{keep} cannot be read: {error}; what is to be kept is not known, so nothing is removed"
        ) from error
    for line in lines:
        if text := line.partition("#")[0].strip():
            yield Path(text).name, f"named in {keep}"
