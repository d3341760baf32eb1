"""Which kernel made a call slower: named only where the profile agrees with the change that was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from attnlab.bench import units
from attnlab.bench.gate.rows import GateRow, KernelMove

LEAST_EXPLAINED = 0.2  # of a slowdown, by the kernel that is named as its cause
AGREES = 0.25  # of the measured change, by which the profile's may differ from it beyond its own noise
HIDES = 0.5  # of the measured change: a profile that is noisier than this cannot be set against it

Round = Mapping[str, float]  # nanoseconds of one call by kernel, on a CPU by operation


def what_moved(base: Sequence[Round], head: Sequence[Round], change_ns: float) -> KernelMove | str:
    """The name whose time grew most, or in plain words why none is named.

    Rounds of both arms were taken in turn; change_ns is by how much a call got slower in the live pairs. Nothing is
    named whose growth exceeds the change or contradicts it.
    """
    growths = [sum(after.values()) - sum(before.values()) for before, after in zip(base, head, strict=True)]
    if not growths or change_ns <= 0:
        return "the profile has nothing to say of it"
    growth_ns, noise_ns = statistics.median(growths), _noise_ns(growths)
    if noise_ns > HIDES * change_ns or abs(growth_ns - change_ns) > max(noise_ns, AGREES * change_ns):
        return (
            f"the profile does not explain it: its parts changed by {_signed(growth_ns)} "
            f"(± {units.format_time(noise_ns)}) in all, the call by {_signed(change_ns)}"
        )
    names = sorted({name for found in (*base, *head) for name in found})
    move = max((_move(name, base, head) for name in names), key=lambda m: m.head_ns - m.base_ns)
    moved_ns = move.head_ns - move.base_ns
    if moved_ns < LEAST_EXPLAINED * change_ns:
        return "no single part of the profile explains a fifth of it"
    if moved_ns - change_ns > max(noise_ns, AGREES * change_ns):
        return f"the profile does not explain it: {move.name} alone grew by {units.format_time(moved_ns)}"
    return move


def explained(row: GateRow, found: KernelMove | str | None) -> GateRow:
    """A row with what its profile says."""
    return replace(row, unexplained=found) if isinstance(found, str) else replace(row, moved=found)


def _move(name: str, base: Sequence[Round], head: Sequence[Round]) -> KernelMove:
    """Medians over rounds, 0 in a round that has it not."""
    before, after = (statistics.median(found.get(name, 0.0) for found in arm) for arm in (base, head))
    return KernelMove(name, before, after)


def _noise_ns(values: Sequence[float]) -> float:
    """Twice the standard error of a median, from the median absolute deviation."""
    middle = statistics.median(values)
    deviation = 1.4826 * statistics.median(abs(value - middle) for value in values)
    return 2 * 1.2533 * deviation / math.sqrt(len(values))


def _signed(ns: float) -> str:
    return f"{'-' if ns < 0 else '+'}{units.format_time(abs(ns))}"
