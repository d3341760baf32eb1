"""Sequential looks at growing data: how much of the error each look may spend.

Pocock's spending function of Lan and DeMets (1983): of α, the share ln(1 + (e − 1) t) is spent once the
fraction t of the planned pairs is there. Each look is tested at what it adds, so that the chances sum to α
whatever the test and however the looks depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LOOKS = (8, 10, 12, 16)  # pairs; under 8 no exact test can reach the levels that are left after adjustment
FRESH_STEP = 4  # pairs from one look at fresh pairs to the next: each takes the least p-value to a sixteenth


@dataclass(frozen=True)
class Looks:
    """The numbers of pairs at which data are looked at, ascending; the last is where it ends at the latest."""

    pairs: tuple[int, ...] = LOOKS

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.pairs, self.pairs[1:], strict=False))
        if not self.pairs or self.pairs[0] < 1 or not ascending:
            raise ValueError(f"got looks at {self.pairs} pairs; expected rising numbers above zero")

    @property
    def last(self) -> int:
        return self.pairs[-1]

    def level(self, pairs: int, alpha: float) -> float:
        """The level of the test at the look with that many pairs; proportional to `alpha`."""
        number = self.pairs.index(pairs)
        before = self.pairs[number - 1] if number else 0
        return alpha * (self._spent(pairs) - self._spent(before))

    def _spent(self, pairs: int) -> float:
        return math.log(1 + (math.e - 1) * pairs / self.last)

    def decidable(self, alpha: float) -> bool:
        """Whether an exact test of n pairs, whose least p-value is 2⁻ⁿ, can reach the level of the last look."""
        return self.level(self.last, alpha) >= 2.0**-self.last


def looks_up_to(pairs: int) -> Looks:
    """The usual looks, ended at that many pairs."""
    return Looks((*(look for look in LOOKS if look < pairs), pairs))


def fresh_looks(alpha: float) -> Looks:
    """Three looks, the first at the fewest pairs whose exact test can reach the level that it may spend of `alpha`."""
    first = 1
    while (looks := Looks(tuple(first + FRESH_STEP * n for n in range(3)))).level(first, alpha) < 2.0**-first:
        first += 1
    return looks
