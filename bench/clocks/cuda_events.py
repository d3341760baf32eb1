"""Clock `cuda_events`: time between two events on the current CUDA stream, launch cost hidden, L2 cold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from attnlab.bench.clocks import Call, Timer
from attnlab.bench.store.records import DeviceState

HIDE_NS = 200_000  # longer than any launch here takes; a blocking kernel of this length runs first
CYCLES_PER_NS = 2  # `_sleep` counts cycles; SM clocks are just under 2 GHz, so this errs to the long side
FLUSH_OVER_L2 = 2  # bytes written between calls, over the L2's size


class CudaEvents:
    """Device time of each call, from an event before to one after it.

    Before each call twice the L2's size is written (unless `hot`), and a kernel that waits keeps the
    device busy while the host enqueues the call, so that the events bracket device work alone.
    Both lie before the first event and so outside the timed span.
    """

    name = "cuda_events"

    def __init__(self, device: torch.device, cache: str = "cold") -> None:
        self._device, self._cache = device, cache

    def start(self, calls: Sequence[Call], bytes_a_call: int) -> Timer:
        return _Timer(self.name, self._cache, self._device, calls)


class _Timer:
    def __init__(self, clock: str, cache: str, device: torch.device, calls: Sequence[Call]) -> None:
        self.clock, self.cache = clock, cache
        self._device = device
        self._rotation = itertools.cycle(calls)
        l2_bytes = torch.cuda.get_device_properties(device).L2_cache_size
        size = FLUSH_OVER_L2 * l2_bytes
        self._flush = torch.empty(size, dtype=torch.uint8, device=device) if cache == "cold" else None

    def burst(self, count: int) -> list[float]:
        pairs = []
        torch.cuda.synchronize(self._device)
        for call in itertools.islice(self._rotation, count):
            if self._flush is not None:
                self._flush.zero_()
            torch.cuda._sleep(HIDE_NS * CYCLES_PER_NS)
            start, end = _event(), _event()
            start.record()
            call()
            end.record()
            pairs.append((start, end))
        torch.cuda.synchronize(self._device)
        return [start.elapsed_time(end) * 1e6 for start, end in pairs]

    def state(self) -> DeviceState | None:
        return None


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)
