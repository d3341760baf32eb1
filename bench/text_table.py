"""Tables of text without lines: as plain lines, or drawn by rich, which folds what a terminal has no room for."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GAP = "  "  # between columns


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A line for each row, its cells padded to the widest of their column; nothing is folded or cut."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield GAP.join(_left(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def width_of(text: str) -> int:
    """Characters of a terminal that the text takes: two where a letter is wide, none of a mark upon another."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # names in other scripts are few

    return cell_len(text)


def _left(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def _right(text: str, width: int) -> str:
    return " " * (width - width_of(text)) + text


def terminal_width() -> int | None:
    """Characters in a line of the terminal; None where there is none, so that what is piped is the same everywhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def bold(text: str) -> str:
    """In bold on a terminal that can."""
    can = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}\x1b[0m" if can else text


def fitted(rows: Sequence[Sequence[str]], left: Collection[int], width: int | None) -> Iterator[str]:
    """The first row are headings, the first column names; columns in `left` begin at the left, others end at the right.

    Where `width` characters are too few, headings are broken at their words; where that is not enough, each row is a
    block of its own, a line a cell. Nothing is cut.
    """
    headings, *body = rows
    cells = [max((width_of(row[at]) for row in body), default=0) for at in range(len(headings))]
    for height in range(1, max(len(heading.split()) for heading in headings) + 1):
        broken = [_broken(heading, cell, height) for heading, cell in zip(headings, cells, strict=True)]
        widths = [max(cell, *map(width_of, lines)) for cell, lines in zip(cells, broken, strict=True)]
        if width is None or sum(widths) + len(GAP) * (len(widths) - 1) <= width:
            for row in (*zip(*broken, strict=True), *body):
                sized = enumerate(zip(row, widths, strict=True))
                yield GAP.join(_left(c, size) if at in left else _right(c, size) for at, (c, size) in sized).rstrip()
            return
    for row in body:
        yield row[0]
        longest = max(map(len, headings[1:]), default=0)
        yield from (
            f"  {head.ljust(longest)}{GAP}{cell}" for head, cell in zip(headings[1:], row[1:], strict=True) if cell
        )


def _broken(heading: str, width: int, height: int) -> list[str]:
    """The heading in `height` lines at most, the last of which are filled first; as narrow as that allows."""
    words = heading.split() or [""]
    for size in range(max(width, *map(len, words)), len(heading) + width + 1):
        lines = textwrap.wrap(heading, size, break_on_hyphens=False) or [""]
        if len(lines) <= height:
            return [""] * (height - len(lines)) + lines
    return [""] * (height - 1) + [heading]


def paragraph(text: str, width: int | None, indent: str = "  ", mark: str = "") -> Iterator[str]:
    """A note in lines of at most `width` characters, of which the first begins with `mark`; in one where it is None."""
    if width is None:
        yield f"{indent}{mark}{text}"
    else:
        hanging = indent + " " * len(mark)
        yield from textwrap.wrap(
            f"{mark}{text}", width, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False
        )


def table(title: str | None = None, title_style: str | None = None) -> Table:
    """An empty table without lines, its title at the left; columns and rows are added to it."""
    from rich.table import Table  # not before a table is drawn: `attnlab --help` draws none

    return Table(title=title, title_style=title_style, title_justify="left", box=None, pad_edge=False)


def console(pipe_width: int) -> Console:
    """Where tables are printed: as wide as the terminal, or `pipe_width` characters where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else pipe_width)
