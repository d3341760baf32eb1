"""At how many rows a ratio of speeds crosses 1: from ratios measured at some of them, with what is known of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from attnlab.bench.stats.rounds import Ratio


class Side(StrEnum):
    """Which of two is the faster, as far as intervals tell."""

    FASTER = "faster"
    SLOWER = "slower"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measured:
    """A ratio of speeds at a number of rows: above 1 the one in question is faster."""

    rows: int
    ratio: Ratio

    @property
    def side(self) -> Side:
        low, high = self.ratio.low, self.ratio.high
        if low is not None and low > 1:
            return Side.FASTER
        return Side.SLOWER if high is not None and high < 1 else Side.UNKNOWN


@dataclass(frozen=True)
class BatchBreakEven:
    """first: the side of the fewest rows that is known. rows: where the ratio crosses 1, None where it does not.

    low, high: the last rows before the crossing that are surely on the first side, and the first after it that are
    surely on the other; None where none are. untold: where nothing crosses, the rows whose side is not known.
    """

    first: Side
    rows: float | None = None
    low: int | None = None
    high: int | None = None
    untold: tuple[int, ...] = ()


def break_even(measured: Sequence[Measured]) -> BatchBreakEven | None:
    """The crossing, by a line in the logarithms of rows and ratio between the neighbours about it.

    None of fewer than two numbers of rows. Of several crossings the last counts: noise near 1 makes some.
    """
    ordered = sorted(measured, key=lambda one: one.rows)
    if len(ordered) < 2:
        return None
    above = [one.ratio.median > 1 for one in ordered]
    crossings = [place for place in range(1, len(ordered)) if above[place] != above[place - 1]]
    known = [one.side for one in ordered if one.side is not Side.UNKNOWN]
    if not crossings or len(set(known)) < 2:
        untold = tuple(one.rows for one in ordered if one.side is Side.UNKNOWN)
        return BatchBreakEven(known[0] if known and len(set(known)) == 1 else Side.UNKNOWN, untold=untold)
    place = crossings[-1]
    before, after = ordered[place - 1], ordered[place]
    first = Side.FASTER if above[place - 1] else Side.SLOWER
    other = Side.SLOWER if first is Side.FASTER else Side.FASTER
    return BatchBreakEven(
        first,
        _between(before, after),
        max((one.rows for one in ordered[:place] if one.side is first), default=None),
        min((one.rows for one in ordered[place:] if one.side is other), default=None),
    )


def _between(before: Measured, after: Measured) -> float:
    a, b = math.log(before.ratio.median), math.log(after.ratio.median)
    share = a / (a - b)
    return math.exp((1 - share) * math.log(before.rows) + share * math.log(after.rows))
