"""Keeps the winners of a search where launchers look for them: a JSON file a device.

`kernels/configs/stored.py` reads the same format; a test holds one against the other.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.analysis.landscape import Candidate, Landscape
from attnlab.bench.errors import StoreError
from attnlab.bench.stats.rounds import Ratio
from attnlab.bench.store.locking import alone_in
from attnlab.bench.store.records import RunRecord
from attnlab.bench.text import file_stem, one_line
from attnlab.bench.whole_file import whole_file

FORMAT = 1
VARIABLE = "ATTNLAB_CONFIGS"
SHIPPED = "attnlab.kernels.configs"
COMPILERS = ("triton",)  # whose other versions make other code of one source
ENTRY: dict[str, Any] = {
    "kernel": str,
    "threads": (int, type(None)),
    "exact": dict,
    "sizes": dict,
    "configuration": dict,
}


@dataclass(frozen=True)
class ConfigFile:
    """The configurations of one device."""

    path: Path
    device: str
    entries: tuple[dict[str, Any], ...]


def folder_of(given: str | None) -> Path:
    """The folder that is given, that of the variable ATTNLAB_CONFIGS, or that of the kernels."""
    if given:
        return Path(given)
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    spec = importlib.util.find_spec(SHIPPED)
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(f"the folder of {SHIPPED} is not there; name another: --keep FOLDER")
    return Path(next(iter(spec.submodule_search_locations)))


def read_configs(folder: Path, device: str) -> ConfigFile:
    """What is kept of a device; nothing where there is no file yet.

    Raises StoreError where its file is damaged, of another format or of another device.
    """
    path = folder / f"{file_stem(device)}.json"
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is no folder; name one for configurations: --keep FOLDER")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ConfigFile(path, device, ())
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(data, dict) or not isinstance(data.get("entries"), list) or "format" not in data:
        raise _damaged(path, "it has no format and entries")
    if data["format"] != FORMAT:
        raise StoreError(
            f"{path} is of format {one_line(repr(data['format']), 40)}, and this attnlab writes {FORMAT}; update it, "
            "or keep configurations elsewhere: --keep FOLDER"
        )
    if data.get("device") != device:
        raise StoreError(
            f"{path} holds configurations of {one_line(repr(data.get('device')), 80)}, and this is {device!r}; rename "
            "it after its own device, or keep configurations elsewhere: --keep FOLDER"
        )
    for entry in data["entries"]:
        wrong = [
            key for key, kind in ENTRY.items() if not isinstance(entry, dict) or not isinstance(entry.get(key), kind)
        ]
        if wrong:
            raise _damaged(path, f"an entry lacks {wrong[0]}")
    return ConfigFile(path, device, tuple(data["entries"]))


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {one_line(why)}; restore it, or remove it and tune anew")


def keep(found: Sequence[Landscape], run: RunRecord, folder: Path) -> tuple[Path, list[str]]:
    """Put the winners in the place of what was kept for the same shapes; the file, and a line for each.

    What has no winner changes nothing. Raises StoreError as `read_configs`, and where the file cannot be written.
    """
    device = run.environment.device.name
    made, told = [], []
    for landscape in found:
        winner = landscape.winner
        if winner is None or winner.fresh is None:
            continue
        entry = _entry(landscape, winner, winner.fresh, run)
        made.append(entry)
        told.append(f"{entry['kernel']} {landscape.case.case_id}: {winner.measured and winner.measured.configuration}")
    if not made:
        return read_configs(folder, device).path, []
    check_keepable(folder, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):  # other searches may end now
            before = read_configs(folder, device)
            rest = [one for one in before.entries if not any(_same_place(one, entry) for entry in made)]
            _write(before.path, {"format": FORMAT, "device": device, "entries": [*rest, *made]})
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error
    return before.path, told


def check_keepable(folder: Path, device: str) -> None:
    """Raise StoreError, before anything is measured, where a winner could not be kept in this folder; makes nothing."""
    path = read_configs(folder, device).path
    if path.exists() and not path.stat().st_mode & 0o222:
        raise StoreError(f"{path} is read-only; make it writable (chmod u+w), or keep elsewhere: --keep FOLDER")
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(folder, "there is no right to" if there.is_dir() else f"{there} is no folder")


def _entry(landscape: Landscape, winner: Candidate, gain: Ratio, run: RunRecord) -> dict[str, Any]:
    """What launchers read, and how it is known."""
    environment, tuning, case = run.environment, landscape.tuning, landscape.case
    measured = winner.measured
    assert measured is not None
    versions = {
        name: environment.packages[name] for name in ("attnlab", "torch", "triton") if name in environment.packages
    }
    on_cpu = environment.device.kind == "cpu"
    return {
        "kernel": f"{tuning.operator}/{tuning.implementation}",
        "threads": environment.threads if on_cpu else None,
        "exact": case.exact,
        "sizes": case.sizes,
        "configuration": winner.configuration,
        "compilers": {} if on_cpu else {name: versions[name] for name in COMPILERS if name in versions},
        "case": case.case_id,
        "time_over_built_in": {"median": _rounded(gain.median), "low": _rounded(gain.low), "high": _rounded(gain.high)},
        "built_in": landscape.default.configuration,
        "candidates": len(landscape.candidates),
        "method": f"{gain.rounds} rounds of fresh processes in turn, clock {measured.timing and measured.timing.clock}",
        "versions": versions,
        "fingerprint": measured.fingerprint,
        "date": run.started,
        "run": run.run_id,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _same_place(entry: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    return all(entry.get(key) == made[key] for key in ("kernel", "threads", "exact", "sizes"))


def _write(path: Path, data: Mapping[str, Any]) -> None:
    """At once or not at all."""
    try:
        with whole_file(path) as part:
            part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path.parent, error.strerror) from error


def _unwritable(folder: Path, why: str | None) -> StoreError:
    return StoreError(f"cannot write to {folder}: {why}; make room or take another place: --keep FOLDER")
