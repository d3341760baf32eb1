"""What a benchmark costs once a process: set-up, the first call, memory."""

from __future__ import annotations

from attnlab.bench.analysis.metrics import first_call, setup_time
from attnlab.bench.gate.quantities import Quantity, Sample
from attnlab.bench.machine.peak_memory import VISIBLE_BYTES
from attnlab.bench.units import MIB, NS_PER_MS


def peak_bytes(sample: Sample) -> float | None:
    """The allocator's peak, or the process's where that is larger and can be seen, or there is no other."""
    peaks = sample.measurement.values("peak_memory")
    resident = sample.measurement.values("peak_resident_memory")
    return max((*peaks, *(value for value in resident if not peaks or value >= VISIBLE_BYTES)), default=None)


QUANTITIES = (
    Quantity("setup", "set-up", "ns", lambda s: setup_time.of(s.measurement), 0.30, 10 * NS_PER_MS),
    Quantity("first_call", "first call", "ns", lambda s: first_call.of(s.measurement), 0.30, 20 * NS_PER_MS),
    Quantity("peak_memory", "peak memory", "B", peak_bytes, 0.20, 16 * MIB),
)
