"""Templates of pages: every value is escaped, and what is not there is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from attnlab.bench.text import printable

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def template_environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters["worded"] = _worded
    return made


def _worded(text: str) -> Markup:
    """A sentence: what stands in back-ticks as code, and no line ends between a number and its percent sign."""
    parts = printable(text).replace(" %", "\N{NO-BREAK SPACE}%").split("`")
    if len(parts) % 2 == 0:  # one without its partner
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def _shown(value: Any) -> Any:
    """What stands in a page: names of plugins may hold marks of direction, which would turn what is around them."""
    return printable(value) if type(value) is str else value
