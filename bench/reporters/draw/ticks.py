"""Ticks in round values and labels that do not overlap: arithmetic of axes, without drawing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

MAX_TICKS = 6


def logarithmic_ticks(
    low: float, high: float, binary: bool = False, most: int = MAX_TICKS, least: int = 2
) -> list[float]:
    """Round values between low and high for a logarithmic axis: powers of two, or 1-2-5 steps of ten.

    Evenly spaced ones where those would be fewer than `least`.
    """
    finest_first: list[list[float]] = (
        [_powers(low, high, base) for base in (2.0, 4.0, 16.0, 64.0, 1024.0)]
        if binary
        else [_decades(low, high, steps) for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))]
    )
    found = next((ticks for ticks in finest_first if len(ticks) <= most), finest_first[-1])
    found = found[:: max(1, math.ceil(len(found) / most))]
    return found if len(found) >= least else _linear(low, high)


def _powers(low: float, high: float, base: float) -> list[float]:
    first, last = math.ceil(math.log(low, base) - 1e-9), math.floor(math.log(high, base) + 1e-9)
    return [base**power for power in range(first, last + 1)]


def _decades(low: float, high: float, steps: Sequence[float]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [step * 10.0**power for power, step in itertools.product(powers, steps)]
    return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _linear(low: float, high: float) -> list[float]:
    """For a range too narrow for powers."""
    rough = (high - low) / 4
    if rough <= 0:
        return [low]
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * n for n in range(first, last + 1)]


def binary_ticks(low: float, high: float, most: int) -> list[float]:
    """Bytes in round numbers of KiB, MiB or GiB on a plain axis."""
    size = next((size for size in (1 << 30, 1 << 20, 1 << 10) if high >= size), 1)
    first, last = low / size, high / size
    rough = (last - first) / most
    unit = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
    return [step * n * size for n in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, `gap` apart and inside the bounds where they fit."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    placed = [min(max(wanted[i], low), high) for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    if placed and placed[-1] > high:
        placed[-1] = high
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    places = [0.0] * len(wanted)
    for value, i in zip(placed, order, strict=True):
        places[i] = value
    return places
