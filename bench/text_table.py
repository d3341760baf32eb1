"""Tables of text without lines: as plain lines, or drawn by rich, which folds what a terminal has no room for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A line for each row, its cells padded to the widest of their column; nothing is folded or cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def table(title: str | None = None, title_style: str | None = None) -> Table:
    """An empty table without lines, its title at the left; columns and rows are added to it."""
    from rich.table import Table  # not before a table is drawn: `attnlab --help` draws none

    return Table(title=title, title_style=title_style, title_justify="left", box=None, pad_edge=False)


def console(pipe_width: int) -> Console:
    """Where tables are printed: as wide as the terminal, or `pipe_width` characters where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else pipe_width)
