"""Peak memory of one call, beyond its inputs and its output."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

VISIBLE_BYTES = 32 << 20  # below this the process's own high-water mark drowns in the interpreter's noise


def peak_bytes(call: Callable[[], Sequence[Tensor]], device: torch.device) -> int:
    """High-water mark of memory allocated by torch during one call, less the output's own bytes.

    CUDA: the allocator's peak. CPU: allocations and frees as torch's profiler records them, in a
    call of its own; memory that does not come from torch's allocator is not seen. What the call
    keeps for itself beside its output counts; an output that lay there before the call is not taken off.
    """
    return max(0, (_cuda_peak(call, device) if device.type == "cuda" else _cpu_peak(call)))


def _new_output_bytes(outputs: Sequence[Tensor], kept: int) -> int:
    """Bytes of the outputs' storages, each once, as far as they are among the `kept` that the call left."""
    storages = {out.untyped_storage().data_ptr(): out.untyped_storage().nbytes() for out in outputs}
    return min(sum(storages.values()), max(0, kept))


def _cuda_peak(call: Callable[[], Sequence[Tensor]], device: torch.device) -> int:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    outputs = call()
    torch.cuda.synchronize(device)
    kept = torch.cuda.memory_allocated(device) - before
    return torch.cuda.max_memory_allocated(device) - before - _new_output_bytes(outputs, kept)


def _cpu_peak(call: Callable[[], Sequence[Tensor]]) -> int:
    import torch
    from torch.autograd.profiler import profile  # `torch.profiler.profile` imports torch's compiler: seconds

    cpu: Any = torch.autograd.DeviceType.CPU  # type: ignore[attr-defined]
    profiled: Any = profile(use_kineto=True, profile_memory=True)
    with profiled:
        outputs = call()
    sizes = sorted(
        (event.start_ns(), event.nbytes())
        for event in profiled.kineto_results.events()
        if event.name() == "[memory]" and event.device_type() == cpu
    )
    peak = total = 0
    for _, size in sizes:
        total += size
        peak = max(peak, total)
    return peak - _new_output_bytes(outputs, total)


def process_peak_bytes(call: Callable[[], Sequence[Tensor]]) -> int | None:
    """Growth of the process's resident high-water mark during one call, its output included.

    A cross-check of `peak_bytes` on Linux that trusts no profiler; None where the kernel does not let us
    read it. Free memory is handed back first, so that a call cannot hide in what an earlier one left.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = _reset_resident_peak()
    if before is None:
        return None
    call()
    after = _status_bytes("VmHWM")
    return None if after is None else after - before


def _reset_resident_peak() -> int | None:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to the present size
    except OSError:
        return None
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields[name].split()[0]) * 1024 if name in fields else None
