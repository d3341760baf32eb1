"""Templates of pages: every value is escaped, and what is not there is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from attnlab.bench.text import printable

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def template_environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: Any) -> Any:
    """What stands in a page: names of plugins may hold marks of direction, which would turn what is around them."""
    return printable(value) if type(value) is str else value
