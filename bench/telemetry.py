"""What a GPU's states over a set of samples mean for it: clocks held down by heat or power, clocks that moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.store.records import DeviceState

MOVED = 0.05  # of the SM clock over the bursts, beyond which it is worth a word
REMEDIES = (
    ("thermal", "by heat", "cool the GPU, or lock its clocks lower (nvidia-smi --lock-gpu-clocks)"),
    ("power", "by its power limit", "lock its clocks lower (nvidia-smi --lock-gpu-clocks), or raise the limit"),
    ("hardware slowdown", "by its hardware", "see `nvidia-smi -q -d PERFORMANCE` for the reason"),
)  # how a reason begins, in words, what to do


def state_notes(states: Sequence[DeviceState]) -> tuple[str, ...]:
    """Warnings in plain words, for states in the order of time; samples are flagged by them and never discarded."""
    return tuple(_notes(states))


def _notes(states: Sequence[DeviceState]) -> Iterator[str]:
    for begins, words, remedy in REMEDIES:
        held = sum(any(reason.startswith(begins) for reason in state.throttle or ()) for state in states)
        counted_ns = _counted_ns(states, begins)
        if held or counted_ns:
            spent = f", {units.format_time(counted_ns)} of it counted" if counted_ns else ""
            yield f"the GPU's clocks were held down {words} in {held} of {len(states)} bursts{spent}: {remedy}"
    clocks = [state.sm_clock_mhz for state in states if state.sm_clock_mhz is not None]
    if clocks and max(clocks) > (1 + MOVED) * min(clocks):
        low, high = units.three_digits(min(clocks)), units.three_digits(max(clocks))
        yield f"the SM clock moved between {low} and {high} MHz while samples were taken"


def _counted_ns(states: Sequence[DeviceState], begins: str) -> float:
    """By how much the driver's counter of that reason rose between the first state and the last."""
    fields = {"thermal": "thermal_violation_ns", "power": "power_violation_ns"}
    if begins not in fields:
        return 0.0
    counted = [value for state in states if (value := getattr(state, fields[begins])) is not None]
    return counted[-1] - counted[0] if counted else 0.0
