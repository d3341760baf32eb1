"""What is worked out of a measurement's launches, kept while it is asked for again, as many metrics ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from attnlab.bench.store.records import Launch, Measurement

P = ParamSpec("P")
T = TypeVar("T")


def kept_of_launches(
    figure: Callable[Concatenate[Measurement, P], T],
) -> Callable[Concatenate[Measurement, P], T]:
    """The same function of a measurement's launches alone, which keeps what it found of those asked for last.

    What it gives must not be changed.
    """
    last: tuple[tuple[Launch, ...], dict[Any, T]] = ((), {})

    def kept(measurement: Measurement, /, *args: P.args, **kwargs: P.kwargs) -> T:
        nonlocal last
        launches, found = last
        if launches is not measurement.launches:
            found = {}
            last = measurement.launches, found
        if (asked := (args, *kwargs.items())) not in found:
            found[asked] = figure(measurement, *args, **kwargs)
        return found[asked]

    return kept
