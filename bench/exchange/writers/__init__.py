"""Writers of files for other tools: one format a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.errors import StoreError
from attnlab.bench.store.run_folder import StoredRun


class Writer(Protocol):
    """One format: `suffix` ends its file's name, `summary` says what is in it."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def summary(self) -> str: ...

    def write(self, runs: Sequence[StoredRun], path: Path, samples: bool) -> str:
        """Write a new file, and say what is in it, such as `12 results`.

        samples: each stored value instead of each result. Raises UsageError where the format cannot hold what is asked
        for, OSError where the file cannot be written.
        """
        ...


WRITERS: Folder[Writer] = Folder("format", __name__, "WRITER")


def export(runs: Sequence[StoredRun], form: str, path: Path, samples: bool = False) -> str:
    """Write runs to a new file, and say what is in it. Raises UnknownName, UsageError and StoreError."""
    writer = WRITERS.get(form)
    if path.exists():
        raise StoreError(f"{path} exists already; take another --out, nothing is overwritten")
    try:
        return writer.write(runs, path, samples)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; take another --out") from error
