"""Options that several sub-commands share, and how their values are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from attnlab.bench.errors import UsageError


def add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module, or a path to a .py file, with implementations of your own; may be repeated",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", metavar="KIND", help="auto (a GPU where there is one), cpu or cuda")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def read_axes(texts: Sequence[str]) -> dict[str, Any]:
    """`["q_len=1024,4096"]` -> `{"q_len": ["1024", "4096"]}`; raises UsageError on another form."""
    axes: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            raise UsageError(f"got -a {text!r}; expected AXIS=VALUE or AXIS=VALUE,VALUE such as q_len=1024,4096")
        if name in axes:
            raise UsageError(f"axis {name} is given twice; give all of its values at once, as {name}=A,B")
        axes[name] = values.split(",")
    return axes


def read_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names given once or several times, separated by commas."""
    return tuple(name for text in texts for name in text.split(",") if name)
