"""Opening the index of a folder: it is looked at, brought up to date where runs changed, or done without."""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from attnlab.bench import units
from attnlab.bench.analysis.index.index import Index
from attnlab.bench.analysis.index.keys import Key, measured_bytes, run_keys
from attnlab.bench.analysis.index.making import ALONE_BYTES, make_segments
from attnlab.bench.analysis.index.manifest import (
    MANIFEST_FILE,
    Manifest,
    Segment,
    Unusable,
    read_manifest,
    write_manifest,
)
from attnlab.bench.analysis.index.segments import Task, files_of, is_whole, merged
from attnlab.bench.analysis.index.version import index_version
from attnlab.bench.errors import StoreError
from attnlab.bench.store.folders import cache_folder
from attnlab.bench.store.locking import alone_with
from attnlab.bench.store.run_folder import RUN_FILE, read_run
from attnlab.bench.text import count, message_of

INDEX_FOLDER = ".index"
LOCK_FILE = "lock"
BESIDE = {".gitignore": "*\n", "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n"}
"""Files of an index that say to others that it is no part of the results."""

SMALL_BYTES = 4 << 20  # of measurements: they are read in the time that DuckDB takes to be imported
GRACE_S = 600.0  # a file that is no part of the index any more stays, for those who read the index as it was

T = TypeVar("T")
Tell = Callable[[str], None]


def can_be_indexed() -> bool:
    """Whether DuckDB is installed, which all that is here needs."""
    return importlib.util.find_spec("duckdb") is not None


def opened(path: Path | str, tell: Tell, inform: Tell = lambda text: None) -> Index | None:
    """The index of a folder of runs, up to date; None where its runs have to be read from their folders.

    So it is of one run, of few measurements, without DuckDB, and where the index cannot be made or cannot hold a run.
    `tell` is told of runs that cannot be read, as `read_runs` tells it, and of what is wrong with the index; `inform`
    of what takes long. Raises StoreError where no run can be read.
    """
    folder = Path(path)
    if not can_be_indexed() or not folder.is_dir() or (folder / RUN_FILE).exists():
        return None
    keys = run_keys(folder)
    if sum(map(measured_bytes, keys.values())) < SMALL_BYTES:
        return None
    index = brought_up_to_date(folder, tell, inform, keys)
    return None if index is None or index.apart else index


def through_index(
    path: Path | str, tell: Tell, use: Callable[[Index], T | None], inform: Tell = lambda text: None
) -> T | None:
    """What is made of the index of a folder; None where its runs have to be read from their folders, as of `opened`."""
    index = opened(path, tell, inform)
    if index is None:
        return None
    import duckdb

    try:
        return use(index)
    except (OSError, duckdb.Error) as error:
        tell(f"the index of {path} cannot be read ({message_of(error)}); its runs are read one by one")
        return None


def brought_up_to_date(folder: Path, tell: Tell, inform: Tell, keys: Mapping[str, Key] | None = None) -> Index | None:
    """The index of a folder of runs of any size; None where it cannot be made, which is told.

    keys: of the runs, where who calls has just looked at them.
    """
    import duckdb

    try:
        place, manifest = _current(folder, run_keys(folder) if keys is None else keys, tell, inform)
    except (OSError, duckdb.Error, Unusable) as error:
        tell(f"the index of {folder} cannot be made ({message_of(error)}); its runs are read one by one")
        return None
    _tell_broken(folder, manifest, tell)
    return Index.of(folder, place, manifest)


def _tell_broken(folder: Path, manifest: Manifest, tell: Tell) -> None:
    """As `read_runs` does: those that cannot be read cost the others nothing."""
    found: list[StoreError] = []
    for name in sorted(name for name, entry in manifest.runs.items() if entry.broken):
        try:
            read_run(folder / name)
        except StoreError as error:
            found.append(error)
    if found and all(entry.broken for entry in manifest.runs.values()):
        raise found[0]
    for why in found:
        tell(f"{why}; the other runs are read without it")


class _Seen(NamedTuple):
    """An index as it lies there: what of it can be used, the runs that are to be read, and what is wrong with it."""

    manifest: Manifest
    changed: list[str]
    current: bool
    fault: str | None


def _seen(place: Path, keys: Mapping[str, Key]) -> _Seen:
    fault = None
    try:
        manifest = read_manifest(place)
    except Unusable as error:
        manifest, fault = None, str(error)
    if manifest is not None and manifest.version != index_version():
        manifest, fault = None, "was made by another version"
    if manifest is None:
        return _Seen(Manifest(index_version()), list(keys), False, fault)
    cut = {segment.name for segment in manifest.segments.values() if not is_whole(place, segment)}
    if cut:
        fault = f"is damaged: {count(len(cut), 'segment')} of {len(manifest.segments)} cannot be used"
    known = {
        name: entry for name, entry in manifest.runs.items() if entry.segment not in cut and keys.get(name) == entry.key
    }
    changed = [name for name in keys if name not in known]
    current = not changed and len(known) == len(manifest.runs)
    segments = {name: segment for name, segment in manifest.segments.items() if name not in cut}
    return _Seen(replace(manifest, runs=known, segments=segments), changed, current, fault)


def _current(folder: Path, keys: Mapping[str, Key], tell: Tell, inform: Tell) -> tuple[Path, Manifest]:
    """Where an index with all runs of the folder lies, and its manifest; raises OSError and what DuckDB raises.

    On a file system without locks what two processes write at once is whole, and the last one counts.
    """
    places = places_of(folder)
    for place in places:
        with suppress(OSError):
            if (seen := _seen(place, keys)).current:
                return place, seen.manifest
    place = _writable(places, folder, tell)
    waiting = f"another process indexes {folder}; waiting for its end"
    with alone_with(place / LOCK_FILE, lambda: inform(waiting)):
        keys = run_keys(folder)
        seen = _seen(place, keys)  # another process may have brought it up to date
        if seen.fault is not None:
            tell(f"the index of {folder} {seen.fault}; {count(len(seen.changed), 'run')} of it are read again")
        return place, seen.manifest if seen.current else _updated(folder, place, keys, seen, inform)


def _updated(folder: Path, place: Path, keys: Mapping[str, Key], seen: _Seen, inform: Tell) -> Manifest:
    """Read what changed, write the index with it, and clear away what is no part of it any more."""
    manifest = seen.manifest
    whole = sum(measured_bytes(keys[name]) for name in seen.changed)
    if whole >= ALONE_BYTES:
        runs = count(len(seen.changed), "run")
        inform(f"{runs} of {folder} with {units.format_bytes(whole)} of measurements are indexed, which is done once")
    tasks = [Task(name, keys[name], manifest.next_number + at) for at, name in enumerate(seen.changed)]
    manifest = replace(manifest, next_number=manifest.next_number + len(tasks))
    for made in make_segments(folder, place, tasks):
        segments = {**manifest.segments, **({made.segment.name: made.segment} if made.segment else {})}
        manifest = replace(manifest, runs={**manifest.runs, **made.entries}, segments=segments)
        write_manifest(place, manifest)
    entries, kept = merged(place, manifest.runs, manifest.segments.values())
    manifest = replace(manifest, runs=entries, segments={segment.name: segment for segment in kept})
    write_manifest(place, manifest)
    _clear(place, manifest.segments)
    return manifest


def _clear(place: Path, segments: Mapping[str, Segment]) -> None:
    """Remove files that have been no part of the index for a while, such as those of a process that was killed."""
    named = {file for name in segments for file in files_of(place, name)}
    named |= {place / name for name in (MANIFEST_FILE, LOCK_FILE, *BESIDE)}
    for file in place.iterdir():
        with suppress(OSError):
            if file not in named and file.stat().st_mtime < time.time() - GRACE_S:
                file.unlink()


def places_of(folder: Path) -> tuple[Path, Path]:
    """Where the index of a folder lies: in it, or in the user's cache where nothing can be written there."""
    return folder / INDEX_FOLDER, _place_in_cache(folder)


def _place_in_cache(folder: Path) -> Path:
    name = hashlib.blake2b(str(folder.resolve()).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return cache_folder() / "index" / name


def _writable(places: Sequence[Path], folder: Path, tell: Tell) -> Path:
    """The first place in which files can be made; raises OSError where none can."""
    refused = OSError(f"nothing can be written in {places[-1]}")
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name, content in BESIDE.items():
                if not (place / name).exists():
                    (place / name).write_text(content)
            (place / LOCK_FILE).open("ab").close()
            if (place / MANIFEST_FILE).is_dir():
                raise IsADirectoryError(f"{place / MANIFEST_FILE} is a folder")
        except OSError as error:
            refused = error
            continue
        if place != places[0] and not (place / MANIFEST_FILE).exists():
            tell(f"{folder} cannot be written to, so that its index lies in {place}")
        return place
    raise refused
