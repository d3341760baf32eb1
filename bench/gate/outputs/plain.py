"""Text of others in GitHub's Markdown: nothing of it is markup, links anywhere, or calls anybody."""

from __future__ import annotations

import re

from attnlab.bench.reporters.markdown import text
from attnlab.bench.text import one_line

BREAK = "&#8203;"  # a space of no width, which ends what GitHub would take for a name, a number or an address
LINKED = re.compile(r"@(?=\w)|(?<=://)|(?<=\bwww)(?=\.)|(?<=\bGH-)(?=\d)|#(?=\d)", re.IGNORECASE)


def prose(raw: str) -> str:
    """As text on one line of one cell. `@somebody` calls nobody, and `#12` or an address is no link."""
    marked = LINKED.sub(lambda found: f"{found[0]}\0", one_line(raw).replace("\0", " "))
    return text(marked).replace("\0", BREAK)


def code(raw: str, cell: bool = True) -> str:
    """As code on one line, of a table's cell or elsewhere, in which GitHub looks for no names."""
    plain = (one_line(raw).replace("|", "\\|") if cell else one_line(raw)) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    padded = f" {plain} " if plain[0] == "`" or plain[-1] == "`" else plain
    return f"{fence}{padded}{fence}"
