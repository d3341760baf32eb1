"""The words for times that fall into two modes."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.stats.modes import two_modes


def modes_told(samples_ns: Sequence[float], of: str = "") -> str | None:
    """`two modes: 60 % at 1.00 ms, 40 % at 1.40 ms`; None where one mode explains the times, in nanoseconds.

    of: what the times are of, such as " of its processes".
    """
    found = two_modes(samples_ns)
    if found is None:
        return None
    lower = round(100 * found.share)
    low, high = units.format_time(found.low), units.format_time(found.high)
    return f"two modes{of}: {lower} % at {low}, {100 - lower} % at {high}"
