"""The marker `attnlab`: what a test's call costs and how long it may be timed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pytest

from attnlab.bench.errors import UnknownName, UsageError

HELP = (
    "attnlab(bytes, operations, dtype, target, limit_s, clock, cache, device): what one call of a test with fixture "
    "attnlab_bench costs, and how it is timed; see docs/pytest.md. Tests of suites carry it without arguments."
)
CHOICES = {"cache": ("cold", "hot"), "device": ("cpu", "cuda"), "dtype": ("float32", "float16", "bfloat16")}
COUNTS = ("bytes", "operations")


@dataclass(frozen=True)
class MarkerArguments:
    """The marker's arguments.

    bytes: the least that one call must read and write, in bytes; operations: its FLOP; dtype: of those,
    for the device's peak. target: half the width of the median's 95 % interval over the median, at which
    sampling stops; limit_s: seconds at which it stops anyway. clock: the method by name. cache: what a
    GPU's L2 holds when a call starts. device: where the calls run, where their tensors do not tell.
    """

    bytes: int | None = None
    operations: int | None = None
    dtype: str | None = None
    target: float | None = None
    limit_s: float | None = None
    clock: str | None = None
    cache: str = "cold"
    device: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> MarkerArguments:
        """From checked arguments; a count may be written as a float, such as 2e9."""
        counts = {name: int(given[name]) for name in COUNTS if name in given}
        return cls(**{**given, **counts})


def read(marks: Iterable[pytest.Mark]) -> dict[str, Any]:
    """The arguments of a test's markers, those nearest to the test first; raises UsageError."""
    given: dict[str, Any] = {}
    for mark in marks:
        if mark.args:
            raise UsageError(
                f"marker attnlab: got {mark.args[0]!r} without a name; expected bytes=…, target=… and such"
            )
        given = {**mark.kwargs, **given}
    check(given)
    return given


def check(given: Mapping[str, Any]) -> None:
    """Raise UsageError on an argument that does not exist or cannot be."""
    names = [field.name for field in fields(MarkerArguments)]
    for name, value in given.items():
        if name not in names:
            raise UsageError(f"marker attnlab: {UnknownName('argument', name, names)}")
        expected = _expected(name, value)
        if expected is not None:
            raise UsageError(f"marker attnlab: got {name}={value!r}; expected {expected}")


def _expected(name: str, value: object) -> str | None:
    """None, or in words what the argument should have been."""
    if name in CHOICES:
        return None if value in CHOICES[name] else " or ".join(CHOICES[name])
    if name == "clock":
        return None if isinstance(value, str) else "a clock's name, such as wall"
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
    if name in COUNTS:
        return None if number and value == int(value) else "a whole number above zero"  # type: ignore[call-overload]
    if name == "target":
        return None if number and value < 1 else "a share between 0 and 1"  # type: ignore[operator]
    return None if number else "a number above zero"
