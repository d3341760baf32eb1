"""By when calls over ranks have to end: before this process is ended for its time, so that the late rank is named."""

from __future__ import annotations

import time

LONGEST_S = 600.0  # of one order, where nobody waits
SHARE = 0.9  # of the time that there is
_ends_s: float | None = None


def begin(limit_s: float | None) -> None:
    """A case begins, which is given so long; None: as long as it takes."""
    global _ends_s
    _ends_s = None if limit_s is None else time.monotonic() + SHARE * limit_s


def left_s() -> float:
    """For how long an order may go on."""
    return LONGEST_S if _ends_s is None else max(0.0, min(LONGEST_S, _ends_s - time.monotonic()))
