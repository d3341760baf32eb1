"""What both gates do with a terminal and with a comment on a pull request."""

from __future__ import annotations

import sys
from pathlib import Path

from attnlab.bench.errors import StoreError


def write_comment(path: Path, text: str) -> None:
    """Raises StoreError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--comment {path} cannot be written: {error.strerror}; the gate's folder has it") from error


def tell_progress(line: str) -> None:
    """A line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)
