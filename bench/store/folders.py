"""Folders to write to: the user's cache, and new ones that never take the place of another."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from attnlab.bench.text import file_stem

GATE_FILE = "gate.json"  # in the folder of a gate, beside its two runs
LONGEST_BYTES = 200  # of a name, with room for `-2`, `-merged` and the like
UNNAMED = "unnamed"
SAME_NAME_TRIES = 1000  # runs of one suite that start in the same second


def cache_folder() -> Path:
    """Where ceilings, captured activations and environments are kept.

    `$XDG_CACHE_HOME/attnlab`, or `~/.cache/attnlab` where that variable is no absolute path.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "attnlab"


def folder_name(text: str) -> str:
    """The text where it names a folder in another one, as ids of runs do; else one as near to it as can be.

    What was read may hold any text: `..`, a path, several lines, more than a file system takes.
    """
    plain = text not in ("", ".", "..") and "/" not in text and text.isprintable()
    return text if plain and len(text.encode()) <= LONGEST_BYTES else file_stem(text) or UNNAMED


def new_folder(wanted: Path) -> Path:
    """Make a folder: `wanted`, or with `-2`, `-3` … where that is there already.

    Raises OSError where none can be made, or too many have the name.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, SAME_NAME_TRIES + 1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(errno.EEXIST, f"{SAME_NAME_TRIES} folders are named so")
