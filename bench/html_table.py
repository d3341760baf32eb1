"""Tables of HTML for notebooks: plain elements in the notebook's own colours, so that they are read on any background.

What stands in a cell is text; nothing of it is taken for markup.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence

from attnlab.bench.text import block, printable

LONGEST_CELL = 300  # characters; more is cut in its middle
MOST_ROWS = 60  # of a notebook's table; the others are counted
_CELL = {
    "left": "text-align:left;padding:0.15em 0.8em;white-space:normal;overflow-wrap:break-word;max-width:32em",
    "right": "text-align:right;padding:0.15em 0.8em;white-space:nowrap",
}


def escaped(text: str) -> str:
    """As it is shown, printable and with nothing that a browser obeys."""
    return html.escape(printable(text).replace("\n", " "))


def paragraph(text: str, bold: bool = False) -> str:
    """A line of text."""
    weight = "font-weight:bold;" if bold else ""
    return f'<p style="{weight}margin:0.3em 0;overflow-wrap:anywhere">{escaped(text)}</p>'


def preformatted(text: str) -> str:
    """Lines as they are, such as a traceback."""
    style = "margin:0.3em 0;white-space:pre-wrap;font-family:monospace;font-size:0.9em"
    return f'<pre style="{style}">{html.escape(block(text))}</pre>'


def folded(summary: str, inside: str) -> str:
    """Markup that is shown once it is asked for."""
    return f"<details><summary>{escaped(summary)}</summary>{inside}</details>"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Columns in `left` begin at the left, others end at the right."""
    sides = ["left" if at in left else "right" for at in range(len(headings))]
    head = "".join(_cell("th", text, side, ' scope="col"') for text, side in zip(headings, sides, strict=True))
    body = "".join(f"<tr>{_cells(row, sides)}</tr>" for row in rows[:MOST_ROWS])
    more = len(rows) - MOST_ROWS
    rest = paragraph(f"and {more} more rows") if more > 0 else ""
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}'


def page(parts: Iterable[str]) -> str:
    """All parts as one element."""
    return f'<div class="attnlab">{"".join(parts)}</div>'


def _cells(row: Sequence[str], sides: Sequence[str]) -> str:
    return "".join(_cell("td", text, side) for text, side in zip(row, sides, strict=True))


def _cell(kind: str, text: str, side: str, more: str = "") -> str:
    half = LONGEST_CELL // 2
    cut = text if len(text) <= LONGEST_CELL else f"{text[:half]} … {text[-half:]}"
    return f'<{kind}{more} style="{_CELL[side]}">{escaped(cut)}</{kind}>'
