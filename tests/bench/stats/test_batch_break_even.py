"""Where a ratio of speeds crosses 1, and what is known of that."""

from __future__ import annotations

import pytest

from attnlab.bench.stats.batch_break_even import BatchBreakEven, Measured, Side, break_even
from attnlab.bench.stats.rounds import Ratio


def at(rows: int, median: float, spread: float | None = 0.05) -> Measured:
    low, high = (None, None) if spread is None else (median * (1 - spread), median * (1 + spread))
    return Measured(rows, Ratio(median, low, high, 6))


def test_a_format_that_loses_with_many_rows() -> None:
    found = break_even([at(1, 2.0), at(4, 2.0), at(16, 1.02), at(64, 0.5)])
    assert found is not None
    assert (found.first, found.low, found.high) == (Side.FASTER, 4, 64)
    assert found.rows == pytest.approx(16 * 4 ** (0.0198 / 0.7129), rel=1e-3)  # ln 1.02 of ln 1.02 + ln 2


def test_one_that_wins_with_many() -> None:
    found = break_even([at(64, 2.0), at(1, 0.5), at(16, 1.0001)])
    assert found is not None
    assert (found.first, found.low, found.high) == (Side.SLOWER, 1, 64)
    assert found.rows == pytest.approx(16, rel=1e-3)


def test_no_crossing() -> None:
    assert break_even([at(1, 2.0), at(4, 1.5)]) == BatchBreakEven(Side.FASTER)
    assert break_even([at(1, 0.4), at(4, 0.8)]) == BatchBreakEven(Side.SLOWER)
    assert break_even([at(1, 2.0)]) is None
    assert break_even([]) is None


def test_noise_near_one_is_no_crossing() -> None:
    """Neither where only one side is known, nor where no interval is given."""
    assert break_even([at(1, 2.0), at(4, 1.01), at(16, 0.99)]) == BatchBreakEven(Side.FASTER, untold=(4, 16))
    assert break_even([at(1, 1.01), at(4, 0.99)]) == BatchBreakEven(Side.UNKNOWN, untold=(1, 4))
    assert break_even([at(1, 2.0, None), at(4, 0.5, None)]) == BatchBreakEven(Side.UNKNOWN, untold=(1, 4))


def test_the_last_of_several_crossings_counts() -> None:
    found = break_even([at(1, 2.0), at(2, 0.99), at(4, 1.5), at(8, 0.5)])
    assert found is not None
    assert found.rows is not None
    assert 4 < found.rows < 8
    assert (found.low, found.high) == (4, 8)
