"""Options that several sub-commands share, and how their values are read."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import UsageError

if TYPE_CHECKING:
    from attnlab.bench.registry import Registry


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


def discovered(plugins: Sequence[str]) -> Registry:
    """What is registered with these plugins, which are tried out first; what they print goes to standard error."""
    from attnlab.bench.plugins import try_out
    from attnlab.bench.registry import discover

    try_out(plugins)
    with _on_standard_error():
        return discover(tuple(plugins))


@contextmanager
def _on_standard_error() -> Iterator[None]:
    """Standard output, by its descriptor too, is where results go: what is printed inside does not."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # a descriptor that is closed
        yield
        return
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def tell(text: str) -> None:
    """One line on standard error."""
    print(f"attnlab: {' '.join(text.split())}", file=sys.stderr)


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
