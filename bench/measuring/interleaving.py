"""The order in which those take turns whose times are set against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def interleave(members: Sequence[T], rounds: int, start: int = 0) -> Iterator[tuple[int, T]]:
    """Rounds from 0 and their members, whose order is turned about each time, so that none always follows the same.

    The first round has them in their order where `start` is even, and the other way about where it is odd. Who is
    taken out of `members` meanwhile has no turn from the next round on.
    """
    for number in range(rounds):
        yield from ((number, member) for member in list(members)[:: -1 if (start + number) % 2 else 1])
