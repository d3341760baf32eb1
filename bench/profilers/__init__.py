"""Profilers, one file each: those that take a call apart have a `PROFILER`, the others read what a compiler made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnlab.bench.contract.discovery import Folder

if TYPE_CHECKING:
    import torch

USUAL = "torch_profile"


@dataclass(frozen=True)
class Profiler:
    """kernel_times(call, device): the nanoseconds of one call by kernel (CUDA) or by operation (CPU)."""

    name: str
    summary: str
    kernel_times: Callable[[Callable[[], object], torch.device], dict[str, float]]


PROFILERS: Folder[Profiler] = Folder("profiler", __name__, "PROFILER")
