"""The version of an index: another one where the code that its figures are made by is another."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

LAYOUT = 1  # of the files of an index
BENCH = Path(__file__).parents[2]
MADE_BY = (
    "analysis/columns.py",
    "analysis/index",
    "analysis/metrics",
    "contract",
    "errors.py",
    "html_table.py",
    "llm/generation",
    "measuring/common_clock.py",
    "ranks/quantities.py",
    "stats",
    "store",
    "text.py",
    "units.py",
    "whole_file.py",
)
"""What of `bench` says what stands in an index: files, and folders with all that lies in them."""


@cache
def index_version() -> str:
    """Such as `1-0123456789abcdef`."""
    found = hashlib.blake2b(digest_size=8)
    for file in sorted(file for name in MADE_BY for file in files_in(BENCH / name)):
        content = file.read_bytes()
        found.update(f"{file.relative_to(BENCH)} {len(content)}\n".encode() + content)
    return f"{LAYOUT}-{found.hexdigest()}"


def files_in(path: Path) -> list[Path]:
    """A file, or the modules below a folder."""
    return [path] if path.is_file() else list(path.rglob("*.py"))
