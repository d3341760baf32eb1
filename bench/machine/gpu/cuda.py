"""A GPU through torch.cuda, with NVML and CUPTI where their packages are installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from attnlab.bench.errors import ClockUnsupported
from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.gpu import Graph, Moment, Tracer, persisting
from attnlab.bench.machine.gpu.nvml import Nvml, open_nvml
from attnlab.bench.store.records import DeviceState

CYCLES_PER_NS = 2  # `_sleep` counts cycles; SM clocks are at 2 GHz or just under, so this errs to the long side
FLUSH_OVER_L2 = 2  # bytes read or written to empty the L2, over its size
FLUSH_ROWS = 1024  # sums that a flush by reading makes
WARM_CALLS = 2  # before a capture: libraries set up their workspaces for the stream


class CudaGpu:
    """The GPU behind a torch device."""

    def __init__(self, device: torch.device) -> None:
        properties: Any = torch.cuda.get_device_properties(device)
        self._device = device
        self._uuid = f"GPU-{str(properties.uuid).removeprefix('GPU-')}"  # as NVML writes it
        self._nvml: Nvml | str | None = None
        self._flushed: tuple[torch.Tensor, torch.Tensor] | None = None
        self._side: torch.cuda.Stream | None = None
        self.name: str = properties.name
        self.l2_bytes: int = properties.L2_cache_size

    def synchronise(self) -> None:
        torch.cuda.synchronize(self._device)

    def moment(self) -> Moment:
        return _Moment()

    def spin(self, ns: float) -> None:
        torch.cuda._sleep(int(ns * CYCLES_PER_NS))

    def flush(self, writing: bool = False) -> None:
        if self._flushed is None:
            columns = -(-FLUSH_OVER_L2 * self.l2_bytes // (4 * FLUSH_ROWS))  # of float32
            flushed = torch.zeros(FLUSH_ROWS, columns, device=self._device)
            self._flushed = flushed, torch.empty(FLUSH_ROWS, device=self._device)
        flushed, sums = self._flushed
        if writing:
            flushed.zero_()
        else:
            torch.sum(flushed, 1, out=sums)

    def unpin(self) -> int | None:
        return persisting.give_back()

    def left_behind_ns(self, work: Callable[[], object]) -> float:
        self.synchronise()
        work()
        torch.cuda.current_stream(self._device).synchronize()
        start = now.perf_counter_ns()
        self.synchronise()
        return float(now.perf_counter_ns() - start)

    def capture(self, work: Callable[[], None], share: Graph | None = None) -> Graph:
        before = torch.cuda.current_stream(self._device)
        generator = torch.cuda.default_generators[before.device.index]
        random_state = generator.clone_state()
        self._side = self._side or torch.cuda.Stream(self._device)
        graph = torch.cuda.CUDAGraph()
        pool = share.pool if isinstance(share, _Graph) else None
        own: Exception | None = None  # that of the work itself: the end of a failed capture raises another over it
        self.synchronise()
        try:
            with torch.cuda.stream(self._side):
                for _ in range(WARM_CALLS):
                    work()
            self.synchronise()
            with torch.cuda.graph(graph, pool=pool, stream=self._side):
                try:
                    work()
                except Exception as error:
                    own = error
                    raise
        except Exception as error:  # foreign code: a call that cannot be captured may raise anything
            # A failed capture may leave its stream current and the generator as if it still went on.
            torch.cuda.set_stream(before)
            generator.graphsafe_set_state(random_state)
            self._side = None
            raise ClockUnsupported(f"it cannot be captured in a CUDA graph: {_one_line(own or error)}") from error
        return _Graph(graph)

    def trace(self) -> AbstractContextManager[Tracer]:
        from attnlab.bench.machine.gpu.cupti import trace

        return trace()

    def state(self) -> DeviceState | None:
        nvml = self._telemetry()
        return None if isinstance(nvml, str) else nvml.state()

    def silence(self) -> str | None:
        nvml = self._telemetry()
        return nvml if isinstance(nvml, str) else None

    def highest_sm_clock_mhz(self) -> float | None:
        nvml = self._telemetry()
        return None if isinstance(nvml, str) else nvml.highest_sm_clock_mhz()

    def other_processes(self) -> tuple[int, ...] | None:
        nvml = self._telemetry()
        found = None if isinstance(nvml, str) else nvml.processes()
        return None if found is None else tuple(pid for pid in found if pid != os.getpid())

    def reader(self, size_bytes: int) -> Callable[[], object]:
        return torch.ones(size_bytes, dtype=torch.uint8, device=self._device).max

    def _telemetry(self) -> Nvml | str:
        """NVML, opened at the first question; where it cannot be, the reason."""
        if self._nvml is None:
            self._nvml = open_nvml(self._uuid)
        return self._nvml


class _Moment:
    def __init__(self) -> None:
        self._event = torch.cuda.Event(enable_timing=True)

    def record(self) -> None:
        self._event.record()

    def reached(self) -> bool:
        return bool(self._event.query())

    def ns_until(self, later: Moment) -> float:
        assert isinstance(later, _Moment)
        return float(self._event.elapsed_time(later._event)) * 1e6


class _Graph:
    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        self._graph = graph

    @property
    def pool(self) -> Any:
        return self._graph.pool()

    def replay(self) -> None:
        self._graph.replay()


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
