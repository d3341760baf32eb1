"""What was listed before, kept in the user's cache: registering everything takes seconds, most of them for torch."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from attnlab.bench.cli._entries import ListEntry
from attnlab.bench.contract import outline
from attnlab.bench.contract.needs import compiler_reason
from attnlab.bench.store.folders import cache_folder
from attnlab.bench.store.machine import Device
from attnlab.bench.whole_file import whole_file

DIGITS = 32  # of the digest, in a file's name
KINDS_OF_FILE = (".py", ".toml")


def kept_list(device: Device) -> list[ListEntry] | None:
    """The list as it was made on this device from these files and packages; None where there is none."""
    with suppress(OSError, ValueError, TypeError):
        return [ListEntry(**entry) for entry in json.loads(_file(device).read_text(encoding="utf-8"))]
    return None


def keep_list(entries: Sequence[ListEntry], device: Device) -> None:
    """A cache that cannot be written costs seconds the next time, and nothing else."""
    file = _file(device)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as part:
            part.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")


def _file(device: Device) -> Path:
    """Named by all that a list hangs on: our files, what else is installed, a compiler, Python and the device."""
    told = "\n".join([sys.version, repr(device), str(compiler_reason()), *_stamps()])
    return cache_folder() / "lists" / f"{hashlib.sha256(told.encode()).hexdigest()[:DIGITS]}.json"


def _stamps() -> Iterator[str]:
    """Each of our files, and each folder of packages, with when it changed."""
    for place in sys.path:
        with suppress(OSError):
            yield f"{place} {os.stat(place or '.').st_mtime_ns}"
    for root in (outline.BENCH, *outline.roots()):
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                if name.endswith(KINDS_OF_FILE):
                    found = os.stat(os.path.join(folder, name))
                    yield f"{folder}/{name} {found.st_mtime_ns} {found.st_size}"
