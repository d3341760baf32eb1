"""Which samples of a result were taken while a GPU's clocks were held down, or lower than for others."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.store.records import Burst, DeviceState

SLOWER = 0.05  # of the highest SM clock over the bursts
HOLDING = ("thermal", "power", "hardware slowdown")  # how reasons begin that a setting of the user is not among
COUNTERS = ("thermal_violation_ns", "power_violation_ns")
SHOWN = 3  # stretches of samples


def held_down_notes(bursts: Sequence[Burst]) -> tuple[str, ...]:
    """A warning in plain words where some bursts, and not all, were held down; of those with a state of a GPU."""
    marked = held_down(bursts)
    counts = [len(burst.series[0].values) if burst.series else 0 for burst in bursts]
    if not any(marked) or all(marked):
        return ()
    ends = list(itertools.accumulate(counts, initial=1))
    stretches = [list(stretch) for held, stretch in itertools.groupby(range(len(bursts)), marked.__getitem__) if held]
    words = [f"{ends[stretch[0]]} to {ends[stretch[-1] + 1] - 1}" for stretch in stretches]
    shown = ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} stretches more" if len(words) > SHOWN else "")
    return (
        "some samples were taken with the GPU's clocks held down or slower than for others, and are kept "
        f"(samples {shown} of {sum(counts)}, in {sum(marked)} of {len(bursts)} bursts{_ratio(bursts, marked)})",
    )


def held_down(bursts: Sequence[Burst]) -> list[bool]:
    """For each burst, whether clocks were held down at its end or since the burst before it, or were slow."""
    states = [burst.state or DeviceState() for burst in bursts]
    clocks = [state.sm_clock_mhz for state in states if state.sm_clock_mhz is not None]
    low = (1 - SLOWER) * max(clocks, default=0.0)
    return [
        any(reason.startswith(HOLDING) for reason in state.throttle or ())
        or any(_rose(before, state, counter) for counter in COUNTERS)
        or (state.sm_clock_mhz is not None and state.sm_clock_mhz < low)
        for before, state in zip([DeviceState(), *states], states, strict=False)
    ]


def _rose(before: DeviceState, after: DeviceState, counter: str) -> bool:
    first, second = getattr(before, counter), getattr(after, counter)
    return first is not None and second is not None and second > first


def _ratio(bursts: Sequence[Burst], marked: Sequence[bool]) -> str:
    """Their median beside that of the others."""
    sides = [
        [value for burst, held in zip(bursts, marked, strict=True) if held is side for value in burst.series[0].values]
        for side in (True, False)
    ]
    if not all(sides):
        return ""
    held, free = (units.format_time(statistics.median(side)) for side in sides)
    return f"; their median is {held}, that of the others {free}"
