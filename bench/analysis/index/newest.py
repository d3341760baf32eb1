"""The newest run of a folder, without reading the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attnlab.bench.analysis.index.keys import key_of_record, record_keys
from attnlab.bench.analysis.index.manifest import Entry, Unusable, read_manifest
from attnlab.bench.analysis.index.opening import places_of
from attnlab.bench.analysis.index.version import index_version
from attnlab.bench.errors import StoreError
from attnlab.bench.store.run_folder import RUN_FILE, StoredRun, read_record, read_run, read_runs


def newest_run(folder: Path, tell: Callable[[str], None]) -> StoredRun:
    """The last of what `read_runs` gives, which tells the same of runs whose records cannot be read.

    When runs started is taken from the index where that knows them; it is not brought up to date. Raises StoreError
    where no run can be read.
    """
    keys = record_keys(folder) if folder.is_dir() and not (folder / RUN_FILE).exists() else {}
    if not keys:
        return read_runs(folder, tell)[-1]
    known = _known(folder)
    started: dict[str, tuple[str, str]] = {}
    broken: dict[str, StoreError] = {}
    for name, key in keys.items():
        entry = known.get(name)
        if entry is not None and key_of_record(entry.key) == key and not entry.broken:
            started[name] = (entry.started, entry.run_id)
            continue
        try:
            record = read_record(folder / name)
            started[name] = (record.started, record.run_id)
        except StoreError as error:
            broken[name] = error
    newest = None
    for name in sorted(started, key=lambda name: (*started[name], name), reverse=True):
        try:
            newest = read_run(folder / name)
            break
        except StoreError as error:
            broken[name] = error
    if newest is None:
        raise broken[min(broken)]
    for _, why in sorted(broken.items()):
        tell(f"{why}; the other runs are read without it")
    return newest


def _known(folder: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for place in places_of(folder):
        with suppress(OSError, Unusable):
            manifest = read_manifest(place)
            if manifest is not None and manifest.version == index_version():
                found = {**manifest.runs, **found}
    return found
