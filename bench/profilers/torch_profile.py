"""Where the time of a call goes, by torch's profiler: kernels on a GPU, operations on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import KERNEL, OPERATION, CallPart, ToolRecord

if TYPE_CHECKING:
    import torch

CALLS = 5


def kernel_times(call: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Nanoseconds of one call by kernel (CUDA) or by operation without those that it calls (CPU).

    The mean of a few calls after one that is not counted; what took no time is left out.
    """
    profiled = _profiled(call, device)
    on_gpu = device.type == "cuda"
    times: dict[str, float] = {}
    for event in profiled.key_averages():
        if on_gpu and event.device_type.name != "CUDA":
            continue
        micros = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if micros > 0:
            times[event.key] = times.get(event.key, 0.0) + micros * 1e3 / CALLS
    return times


def _profiled(call: Callable[[], object], device: torch.device) -> Any:
    import torch
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    call()
    with profile(activities=activities) as profiled:
        for _ in range(CALLS):
            call()
        if on_gpu:
            torch.cuda.synchronize(device)
    return profiled


def _missing(call: ProfiledCall) -> str | None:
    return None


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    times = kernel_times(lambda: call.make(1), call.device)
    kind = KERNEL if call.on_gpu else OPERATION
    return ToolRecord("torch", CALLS, tuple(CallPart(name, kind, time_ns) for name, time_ns in times.items()))


PROFILER = Profiler("torch", "torch's own profiler: kernels on a GPU, operations on a CPU", _missing, _profile, rank=10)
