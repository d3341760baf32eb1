"""Notices where foreign code put something else in the place of what measures or judges, and puts it back.

A plugin runs in the process that imports it, and may set any attribute of any module. What stands here is compared
before and after: the functions and classes of the harness, and those of the standard library that it measures and
judges by. Other libraries may be patched: no figure of a judge comes from a process with a plugin in it.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from attnlab.bench.contract.discovery import Folder

HARNESS = "attnlab.bench"
# What takes part in a measurement is imported before it is remembered, so that nobody is there first.
TAKING_PART = (
    "attnlab.bench.measuring.harness",
    "attnlab.bench.measuring.isolation",
    "attnlab.bench.measuring.judging.client",
    "attnlab.bench.measuring.plausibility",
    "attnlab.bench.measuring.settlement",
    "attnlab.bench.measuring.timing",
    "attnlab.bench.measuring.worker",
    "attnlab.bench.store.codec",
    "attnlab.bench.machine.clocks",
)
CLOSED = (("attnlab.bench.machine.clocks", "CLOCKS"),)  # tables, by module, that no plugin adds to
LIBRARY = ("time", "json", "statistics", "math", "select", "random", "hashlib", "secrets", "numpy", "numpy.fft")
REPLACED_BY_SOME = ("print", "input", "open", "__import__", "breakpoint")  # by honest tools too; none of them counts
NAMED = 3  # of what was changed, in a reason
MISSING = object()


@dataclass(frozen=True)
class _Kept:
    """One attribute as it was, and what its function was made of."""

    owner: Any
    path: str
    name: str
    value: Any
    made_of: tuple[Any, ...]


class Guard:
    """What the harness is made of at one moment."""

    def __init__(self) -> None:
        for name in TAKING_PART:
            importlib.import_module(name)
        for table, _ in _closed_tables():
            table.close()
        self._kept = tuple(_everything())

    def changed(self) -> tuple[str, ...]:
        """Names of what is no longer as it was, such as `attnlab.bench.store.deviations.Deviation.within`."""
        return tuple(dict.fromkeys(f"{kept.path}.{kept.name}" for kept in self._kept if _differs(kept)))

    def restore(self) -> tuple[str, ...]:
        """Put back what was changed; its names."""
        names = self.changed()
        for kept in self._kept if names else ():
            if _differs(kept):
                setattr(kept.owner, kept.name, kept.value)
                _make_again(kept)
        return names


def _everything() -> Iterator[_Kept]:
    modules = [module for name, module in sys.modules.items() if f"{name}.".startswith(f"{HARNESS}.")]
    for module in (*modules, *map(importlib.import_module, LIBRARY)):
        yield from _attributes(module, module.__name__)
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield from _attributes(value, f"{module.__name__}.{value.__qualname__}")
    for table, path in _closed_tables():
        for name, value in vars(table).items():
            yield _Kept(table, path, name, value, _made_of(value))
    yield from (kept for kept in _attributes(builtins, "builtins") if kept.name not in REPLACED_BY_SOME)


def _closed_tables() -> Iterator[tuple[Folder[Any], str]]:
    for module, table in CLOSED:
        yield getattr(importlib.import_module(module), table), f"{module}.{table}"


def _attributes(owner: Any, path: str) -> Iterator[_Kept]:
    """Functions, classes and constants; what stands for something that changes in its own time is left out."""
    for name, value in list(vars(owner).items()):
        kinds = (staticmethod, classmethod, property, type, int, float, str, tuple, types.MemberDescriptorType)
        if name.startswith("__") and not callable(value):
            continue
        if callable(value) or isinstance(value, kinds):
            yield _Kept(owner, path, name, value, _made_of(value))


def _made_of(value: Any) -> tuple[Any, ...]:
    function = value
    if isinstance(value, (staticmethod, classmethod)):
        function = value.__func__
    elif isinstance(value, property):
        function = value.fget
    if not isinstance(function, types.FunctionType):
        return ()
    return function, function.__code__, function.__defaults__, function.__kwdefaults__


def _differs(kept: _Kept) -> bool:
    return vars(kept.owner).get(kept.name, MISSING) is not kept.value or any(
        now is not then for now, then in zip(_made_of(kept.value), kept.made_of, strict=True)
    )


def _make_again(kept: _Kept) -> None:
    if kept.made_of:
        function, *parts = kept.made_of
        function.__code__, function.__defaults__, function.__kwdefaults__ = parts


def refusal(names: tuple[str, ...]) -> str:
    """Why what changed these is not measured."""
    others = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"its code changes {', '.join(names[:NAMED])}{others}; expected it to leave the harness, the clocks and "
        "Python's own functions as they are"
    )
