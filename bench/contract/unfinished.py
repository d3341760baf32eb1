"""Calls that return before their work is done: coroutines, generators and the like, whose time would be one of nothing.

They are refused and not awaited or iterated for whoever wrote them: an event loop's own time would stand in each sample
unseen, and a generator has a time to its first item, between items and to its end, of which one has to be meant.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

LAZY = (map, filter, zip, enumerate, reversed)  # nothing is computed until they are iterated

AWAITED = "awaited", "asyncio.run(f())"
ITERATED = "iterated", "list(f())"
BOTH = "iterated by async for", "asyncio.run(collect(f())), where collect awaits each item"
WAITED_FOR = "waited for", "f().result()"

Later = tuple[str, str]
"""How the work gets done, and a call that does so."""

_DECLARED: tuple[tuple[Callable[[object], bool], str, Later], ...] = (
    (inspect.iscoroutinefunction, "an async function", AWAITED),
    (inspect.isasyncgenfunction, "an async generator function", BOTH),
    (inspect.isgeneratorfunction, "a generator function", ITERATED),
)


def unfinished_function(function: object) -> str | None:
    """Why what a call of it returns is no result, by how it is written; None where that does not tell.

    Looks behind functools.partial and at the `__call__` of an object, and not behind a wrapper, which may do the work.
    """
    while isinstance(function, functools.partial):
        function = function.func
    own_call = getattr(type(function), "__call__", None)  # noqa: B004 - the method, not whether there is one
    for candidate in (function, own_call if not inspect.isclass(function) else None):
        for holds, kind, later in _DECLARED:
            if holds(candidate):
                return _told(f"is {kind}", later)
    return None


def unfinished_result(returned: Any) -> str | None:
    """Why what a call returned is no result; None where it is one. What was begun is ended."""
    kind = type(returned).__name__
    if inspect.isasyncgen(returned):
        later = BOTH
    elif isinstance(returned, Future):
        later = WAITED_FOR
        if returned.done():
            return None
    elif inspect.isawaitable(returned):
        later = AWAITED
    elif inspect.isgenerator(returned) or isinstance(returned, LAZY) or type(returned).__module__ == "itertools":
        later = ITERATED
    else:
        return None
    if inspect.iscoroutine(returned) or inspect.isgenerator(returned):
        returned.close()  # lest Python warns that it was never awaited
    return _told(f"returns a {kind}", later)


def _told(what: str, later: Later) -> str:
    done, call = later
    return f"{what}, whose work is done where it is {done}; give a function that does so, such as lambda: {call}"
