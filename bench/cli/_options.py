"""Options that several sub-commands share, and how their values are read."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import UsageError
from attnlab.bench.text import LONGEST_MESSAGE, one_line

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Registry


Arguments = argparse._ActionsContainer
"""A parser, or a group of its arguments."""


def add_plugin(parser: Arguments) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module, or a path to a .py file, with implementations of your own; may be repeated",
    )


def add_servers(parser: Arguments) -> None:
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="[NAME=]URL",
        help="a server for operator serve, such as http://127.0.0.1:8000; with a NAME as a suite's [servers.NAME] has",
    )
    parser.add_argument(
        "--key-env", action="append", default=[], metavar="[NAME=]VARIABLE", help="the variable that holds its key"
    )


def add_device(parser: Arguments) -> None:
    parser.add_argument("--device", default="auto", metavar="KIND", help="auto (a GPU where there is one), cpu or cuda")


def add_json(parser: Arguments) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def discovered(plugins: Sequence[str]) -> Registry:
    """What is registered with these plugins, which are tried out first; what they printed then is told in short.

    Settings of this process are as they were before.
    """
    from attnlab.bench.contract.plugins import refuse_exits, try_out
    from attnlab.bench.contract.registry import discover
    from attnlab.bench.measuring.settings import kept_settings

    said = try_out(plugins)
    if said is not None:
        tell(f"importing {' and '.join(plugins)} prints: {said}")
    if plugins:
        refuse_exits()
    with _silent() if plugins else nullcontext():
        return discover(tuple(plugins), kept_settings)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing that is printed inside is seen: it may have no end, and standard output is for results."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    kept: dict[int, int] = {}
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        with suppress(OSError):  # a descriptor that is closed
            kept[descriptor] = os.dup(descriptor)
            os.dup2(nothing, descriptor)
    os.close(nothing)
    try:
        with open(os.devnull, "w") as void, redirect_stdout(void), redirect_stderr(void):
            yield
    finally:
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            if descriptor in kept:
                os.dup2(kept[descriptor], descriptor)
                os.close(kept[descriptor])


def tell(text: str) -> None:
    """One line on standard error."""
    print(f"attnlab: {one_line(text, LONGEST_MESSAGE)}", file=sys.stderr)


def read_axes(texts: Sequence[str], option: str = "-a") -> dict[str, Any]:
    """`["q_len=1024,4096"]` -> `{"q_len": ["1024", "4096"]}`; raises UsageError on another form."""
    axes: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            raise UsageError(f"got {option} {text!r}; expected AXIS=VALUE or AXIS=VALUE,VALUE such as q_len=1024,4096")
        if name in axes:
            raise UsageError(f"axis {name} is given twice; give all of its values at once, as {name}=A,B")
        axes[name] = values.split(",")
    return axes


def read_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names given once or several times, separated by commas."""
    return tuple(name for text in texts for name in text.split(",") if name)
