"""How far outputs are from what is expected of them, beside what is allowed."""

from __future__ import annotations

import math

from attnlab.bench.store.record import record


@record
class Deviation:
    """How far outputs are from what is expected by one measure, and how far they may be.

    unit: of value and allowed, in words; "" for pure numbers. output: the one that deviates; None where several are
    judged together.
    """

    name: str
    value: float
    allowed: float
    unit: str = ""
    output: str | None = None

    @property
    def within(self) -> bool:
        """NaN compares false, so that an undefined deviation is never within."""
        return self.value <= self.allowed

    @property
    def share_of_budget(self) -> float:
        """The deviation over what it may be; 1 is the limit."""
        return self.value / self.allowed if self.allowed else math.inf if self.value else 0.0


def relative_errors(
    output: str, rms: float, rms_allowed: float, largest: float, largest_allowed: float
) -> tuple[Deviation, Deviation]:
    """Root-mean-square error and largest error of an output, both over the root mean square of the oracle's."""
    return (
        Deviation("relative RMS error", rms, rms_allowed, output=output),
        Deviation("largest relative error", largest, largest_allowed, output=output),
    )
