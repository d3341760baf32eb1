"""Which machine this is, and which device of it is used: what tells where a measurement was taken."""

from __future__ import annotations

import platform
import subprocess

from attnlab.bench.store.machine import Ceilings, Environment, Machine

ASKED = "power.limit,clocks.max.sm,clocks.max.memory"
ANSWER_LIMIT_S = 20.0


def describe_machine(environment: Environment, ceilings: Ceilings, node: str | None = None) -> Machine:
    """This machine, with the device that `environment` has; node: what a scheduler calls it, where one does."""
    host = platform.node() or "localhost"
    if environment.device.kind != "cuda":
        return Machine(host, environment, ceilings, node)
    uuid = gpu_uuid()
    return Machine(host, environment, ceilings, node, uuid, *gpu_limits(uuid))


def gpu_uuid() -> str:
    """The UUID of the GPU that is used, as NVIDIA's driver writes it."""
    import torch

    found = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
    return f"GPU-{str(found).removeprefix('GPU-')}"


def gpu_limits(uuid: str) -> tuple[float | None, float | None, float | None]:
    """Watts that a GPU may take, and its highest clocks of multiprocessors and of memory in MHz; None: not told."""
    command = ["nvidia-smi", f"--id={uuid}", f"--query-gpu={ASKED}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None, None, None
    power, sm, memory, *_ = (*map(_number, said.strip().split(",")), None, None, None)
    return power, sm, memory


def _number(text: str) -> float | None:
    """A figure; None of `[N/A]` and the like."""
    try:
        return float(text)
    except ValueError:
        return None
