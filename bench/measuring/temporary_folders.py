"""Temporary folders with an owner: what a killed process left behind is cleared by the next, and nothing else is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PREFIX = "attnlab-"
LOCK = "owner.lock"  # held for as long as the owner lives; the kernel lets go of it however a process ends


@contextmanager
def own_folder(kind: str) -> Iterator[Path]:
    """A temporary folder `attnlab-<kind>-…`, marked as this process's for as long as that lives; removed at the end."""
    folder, lock = _made(kind)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def clear_abandoned() -> list[Path]:
    """Remove this user's temporary folders whose owners are dead; those removed."""
    return [folder for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")) if clear_if_abandoned(folder)]


def clear_if_abandoned(folder: Path) -> bool:
    """Remove a folder whose owner is dead; whether it was. One without a lock was never ours."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        with (folder / LOCK).open("rb+") as lock:
            if not _taken(lock):
                return False
            shutil.rmtree(folder, ignore_errors=True)
            return True
    except OSError:
        return False


def _made(kind: str) -> tuple[Path, IO[bytes]]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-")).resolve()
        lock = (folder / LOCK).open("wb")
        if _taken(lock) and (folder / LOCK).exists():  # else another took it for abandoned in between
            return folder, lock
        lock.close()


def _taken(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
