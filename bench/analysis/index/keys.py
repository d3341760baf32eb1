"""What files are known by: where any of it is another than before, the file is read again."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from attnlab.bench.store.run_folder import MEASUREMENTS_FILE, RUN_FILE

Key = tuple[int, ...]
"""Inode, bytes, and when content and inode changed in ns since 1970: of one file, or of several in a row."""

NO_FILE: Key = (0, 0, 0, 0)
SETTLED_NS = 2_000_000_000  # a file system may count whole seconds, or two: a change right after a change may not show


def file_key(path: Path | str) -> Key:
    """The key of a file; `NO_FILE` where there is none. Raises OSError where it cannot be asked."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return NO_FILE
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def record_keys(folder: Path) -> dict[str, Key]:
    """The runs in a folder by the names of their folders, sorted, each with the key of its record."""
    found: dict[str, Key] = {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        with suppress(OSError):  # a folder that must not be looked into
            if (record := file_key(f"{folder}/{name}/{RUN_FILE}")) != NO_FILE:
                found[name] = record
    return found


def run_keys(folder: Path) -> dict[str, Key]:
    """As `record_keys`, each with the key of its two files."""
    found: dict[str, Key] = {}
    for name, record in record_keys(folder).items():
        with suppress(OSError):
            found[name] = record + file_key(f"{folder}/{name}/{MEASUREMENTS_FILE}")
    return found


def key_of_record(key: Key) -> Key:
    """Of the key of a run."""
    return key[:4]


def settled(key: Key, now_ns: int | None = None) -> bool:
    """Whether no change that follows can leave the key as it is."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    return max(key[2::4] + key[3::4]) < now_ns - SETTLED_NS


def measured_bytes(key: Key) -> int:
    """Bytes of a run's measurements."""
    return key[5]
