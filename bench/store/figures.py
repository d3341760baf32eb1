"""How far an output is from what is expected of it, beside what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """How far one set of outputs is from the oracle, and how far it may be.

    Root-mean-square error and largest error, both over the root mean square of the oracle's
    output: pure numbers.
    """

    output: str
    rms_error: float
    rms_allowed: float
    max_error: float
    max_allowed: float

    @property
    def within(self) -> bool:
        """NaN compares false, so that an undefined error is never within."""
        return self.rms_error <= self.rms_allowed and self.max_error <= self.max_allowed

    @property
    def share_of_budget(self) -> float:
        """The larger of the two errors over what it may be; 1 is the limit."""
        return max(_share(self.rms_error, self.rms_allowed), _share(self.max_error, self.max_allowed))


def _share(error: float, allowed: float) -> float:
    return error / allowed if allowed else math.inf if error else 0.0
