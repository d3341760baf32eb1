"""What a block of threads may take of a GPU, as published: what needs more than that cannot run there."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.contract.space import Resources
from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES
from attnlab.bench.store.machine import Device

MOST_REGISTERS = 255  # of a thread; CUDA C++ Programming Guide, "Technical specifications per compute capability"
BLOCK_REGISTERS = 65_536
MOST_THREADS = 1024


def beyond(least: Resources | None, device: Device) -> str | None:
    """Why what takes at least so much does not fit the device; None where it may, or nothing is known."""
    if least is None or device.sm is None:
        return None
    shared = SHARED_LIMIT_BYTES.get(device.sm)
    if shared is not None and (least.shared_bytes or 0) > shared:
        needed, there = units.format_bytes(least.shared_bytes or 0), units.format_bytes(shared)
        return f"needs {needed} of shared memory or more, and a block has {there}"
    if (least.threads or 0) > MOST_THREADS:
        return f"needs {least.threads} threads, and a block has {MOST_THREADS}"
    own = min(MOST_REGISTERS, BLOCK_REGISTERS // (least.threads or 1))
    if (least.registers or 0) > own:
        return f"needs {least.registers} registers a thread or more, and there are {own}: it would spill"
    return None
