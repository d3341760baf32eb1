"""A test's benchmarked call in a process of the gate: answers what a live pair asks of it, until the test may go on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnlab.bench.gate.messages import Closing, Opening, TimingMethod
from attnlab.bench.machine.ballast import Ballast
from attnlab.bench.machine.clocks import now
from attnlab.bench.pytesting.timed_call import TimedCall, tensors_in
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Measurement, Series

if TYPE_CHECKING:
    import torch

    from attnlab.bench.measuring.timing import Sampling


class GatedCall:
    """One call, which was made once. Set-up is what the test did before it, and is in none of its times."""

    def __init__(self, call: TimedCall, first_ns: float, ballast: Ballast) -> None:
        self._call, self._first_ns, self._ballast = call, first_ns, ballast
        self._sampling: Sampling | None = None

    def opening(self, known: Measurement, plan: Plan | None, strays: tuple[str, ...]) -> Opening:
        """How it can be timed. Raises MeasurementError where no clock can."""
        from attnlab.bench.machine.clocks import start_all

        call, given = self._call, self._call.given
        started = start_all(call.clocks, [call.call], given.bytes or 0, plan)
        methods = tuple(TimingMethod(t.clock, t.cache, t.calls_a_sample, t.plan) for t in started.timers)
        counts = {"operations": given.operations, "bytes": given.bytes}
        costs = tuple(f"{count} {what} a call" for what, count in counts.items() if count is not None)
        return Opening(known, methods, started.notes, strays, (*call.tensors, *costs))

    def on_warm(self, clock: str, plan: Any) -> tuple[str, Any]:
        """Call until the time of a call is stable."""
        from attnlab.bench.measuring.timing import Sampling

        named = [one for one in self._call.clocks if one.name == clock]
        own = None if plan is None else decode(Plan, plan)
        bytes_a_call = self._call.given.bytes or 0
        self._sampling = Sampling([self._call.call], named, self._call.effort, bytes_a_call=bytes_a_call, plan=own)
        return "warm", encode(self._sampling.warm)

    def on_burst(self, count: int) -> tuple[str, Any]:
        """A burst of samples; on a CPU on other ground in the heap than the last, after one call that is not timed."""
        if self._shift():
            self._timed.pass_over()
        return "burst", encode(self._timed.burst(count))

    def on_kernels(self) -> tuple[str, Any]:
        """Time by kernel (on a CPU by operation) of one call, in nanoseconds; nothing where no torch is at work."""
        from attnlab.bench.profilers.torch_profile import kernel_times

        if "torch" not in sys.modules:
            return "kernels", {}
        self._shift()
        return "kernels", kernel_times(self._call.call, self._call.torch_device)

    def closing(self, known: Measurement) -> Closing:
        """How it was timed, and what stands beside its times."""
        from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS

        timed = self._timed.timed(STOPPED_BY_ROUNDS)
        once = Series("first_call", "ns", "wall", "lower", (self._first_ns,))
        return Closing(known, timed.record, (once, *self._memory()), timed.notes)

    @property
    def _timed(self) -> Sampling:
        assert self._sampling is not None
        return self._sampling

    def _memory(self) -> tuple[Series, ...]:
        """The peak of torch's allocator in a call, where there is torch, and on a CPU the process's."""
        from attnlab.bench.machine import peak_memory

        def call() -> list[torch.Tensor]:
            return list(tensors_in(self._call.call()))

        found = []
        if "torch" in sys.modules:
            peak = peak_memory.peak_bytes(call, self._call.torch_device)
            found.append(Series("peak_memory", "B", None, "lower", (float(peak),)))
        if self._call.device == "cpu":
            grown = peak_memory.process_peak_bytes(call)
            if grown is not None:
                found.append(Series("peak_resident_memory", "B", None, "lower", (float(grown),)))
        return tuple(found)

    def _shift(self) -> bool:
        """Move the heap about, on a CPU; whether it was."""
        if self._call.device == "cpu":
            self._ballast.shift()
            return True
        return False


def timed_first(call: Callable[[], Any]) -> tuple[Any, float]:
    """What the first call returns, and how long it took in nanoseconds, until a GPU that is used is done with it."""
    start = now.perf_counter_ns()
    result = call()
    if any(tensor.is_cuda for tensor in tensors_in(result)):
        import torch

        torch.cuda.synchronize()
    return result, float(now.perf_counter_ns() - start)
