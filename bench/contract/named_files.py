"""Files that a case names, by what they hold: cases of one id are one case only where these are alike."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from attnlab.bench.contract.axes import Case

DIGITS = 16  # of a SHA-256
UNREADABLE = "unreadable"


def contents(case: Case) -> dict[str, str]:
    """Each axis whose value names a file or a folder, with a hash of what that holds."""
    return {axis: content(path) for axis, path in case.files().items()}


def content(path: Path) -> str:
    """Of a file, or of all files right in a folder with their names; whole, however large."""
    try:
        if not path.is_dir():
            return _hashed(path, *_stamp(path))
        digest = hashlib.sha256()
        for file in sorted(file for file in path.iterdir() if file.is_file()):
            digest.update(f"{file.name}\0{_hashed(file, *_stamp(file))}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()[:DIGITS]
    except OSError:
        return UNREADABLE


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=1024)
def _hashed(path: Path, *stamp: int) -> str:
    """Read once a process as long as the file is not written to: a model takes seconds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
