"""What an implementation can be given to choose from, such as tile sizes: the space that `attnlab tune` searches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attnlab.bench.errors import PluginError, UnknownName, UsageError

Value = int | str
"""Of one name of a configuration; True and False are whole numbers."""
Configuration = Mapping[str, Value]
Shape = tuple[Mapping[str, Value], Mapping[str, int]]
"""What the best configuration of a case hangs on: what must be equal, and sizes that may differ a little."""


@dataclass(frozen=True)
class Resources:
    """What a block of threads takes of a GPU at least; None is what is not known.

    shared_bytes: of shared memory. registers: of one thread. threads: of a block.
    """

    shared_bytes: int | None = None
    registers: int | None = None
    threads: int | None = None


def _nothing(*_: Any) -> None:
    return None


def _whole_case(case: Any) -> Shape:
    return {"case": case.id}, {}


@dataclass(frozen=True, eq=False)
class Space:
    """All configurations of an implementation, and which of them it takes by itself.

    axes: the values of each name; every combination is a candidate. default(case) is the one that is built in.
    shape(case) says for which other cases a configuration is a good one too (the same case alone, where not given).
    unfit(case, configuration) is None, or why one is no candidate, such as a tile longer than the sequence.
    least(case, configuration) is what it takes of a GPU at least: what does not fit a device is not tried.

    Raises PluginError on axes that are none.
    """

    axes: Mapping[str, tuple[Value, ...]]
    default: Callable[[Any], Configuration]
    shape: Callable[[Any], Shape] = _whole_case
    unfit: Callable[[Any, Configuration], str | None] = _nothing
    least: Callable[[Any, Configuration], Resources | None] = _nothing

    def __post_init__(self) -> None:
        for name, values in self.axes.items():
            fits = isinstance(values, tuple) and values and all(map(_is_value, values))
            if not (isinstance(name, str) and name.isidentifier() and fits):
                raise PluginError(
                    f"got {ascii(name)[:40]}: {ascii(values)[:80]} in a search space; expected a name and a tuple of "
                    "whole numbers, 0 or more, or words of letters, digits, _ and ."
                )
        if not self.axes:
            raise PluginError("got a search space without axes; expected one or more, such as block=(64, 128)")

    def candidates(self) -> Iterator[dict[str, Value]]:
        """Every combination, those of the last name next to each other."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def narrowed(self, wanted: Mapping[str, tuple[Value, ...]]) -> Space:
        """With only these values of some names; raises UnknownName and UsageError on what is not in it."""
        for name, values in wanted.items():
            if name not in self.axes:
                raise UnknownName("name of a configuration", name, self.axes)
            others = [value for value in values if value not in self.axes[name]]
            if others:
                known = ", ".join(map(str, self.axes[name]))
                raise UsageError(f"got {name}={others[0]}; expected of {known}")
        axes = {name: wanted.get(name, values) for name, values in self.axes.items()}
        return Space(axes, self.default, self.shape, self.unfit, self.least)


def _is_value(value: object) -> bool:
    if isinstance(value, int):
        return value >= 0
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.]+", value) is not None


def label(configuration: Configuration) -> str:
    """`block_q=256, block_k=512`."""
    return ", ".join(f"{name}={value}" for name, value in configuration.items())


def variant(name: str, configuration: Configuration) -> str:
    """How an implementation with a configuration of its own is called, by its values alone: `tiled+256-512`."""
    return f"{name}+{'-'.join(map(str, configuration.values()))}"
