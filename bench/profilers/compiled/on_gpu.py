"""Tensors of the host that say they are on a GPU, so that a launcher does what it does there; no GPU is needed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

from attnlab.bench.profilers.compiled.devices import ARCHITECTURES, REGISTERS, WARP_THREADS, GpuModel

GPU = torch.device("cuda", 0)


class GpuTensor(torch.Tensor):
    """Its numbers lie on the host; what torch makes of it is one too."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def get_device(self) -> int:
        return 0

    def cuda(self, *_: Any, **__: Any) -> torch.Tensor:
        return self

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


class _OnGpu(TorchFunctionMode):
    """Whatever is asked for on a GPU is made on the host."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        wanted: list[str] = []

        def placed(value: Any) -> Any:
            if isinstance(value, torch.device):
                wanted.append(value.type)
                return torch.device("cpu") if value.type == "cuda" else value
            return value

        named = dict(kwargs or {})
        if isinstance(named.get("device"), (str, int)):
            named["device"] = torch.device(named["device"])
        if function in (torch.Tensor.to, torch.empty, torch.zeros) and any(_is_gpu(value) for value in args):
            args = tuple(torch.device(value) if _is_gpu(value) else value for value in args)
        out = function(
            *map(placed, args), **{name: placed(value) for name, value in named.items() if name != "pin_memory"}
        )
        if isinstance(out, torch.Tensor) and wanted:
            return out.as_subclass(GpuTensor if "cuda" in wanted else torch.Tensor)
        return out


def _is_gpu(value: Any) -> bool:
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


def moved(value: Any) -> Any:
    """A copy of inputs whose tensors say that they are on a GPU, also those in dataclasses, tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        return value.as_subclass(GpuTensor)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(moved, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(moved, value))
    if isinstance(value, dict):
        return {key: moved(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(made, field.name, moved(getattr(value, field.name)))
        return made
    return value


@contextmanager
def pretended(model: GpuModel) -> Iterator[None]:
    """torch says that this device is there, and makes on the host whatever it is asked for on a GPU."""
    made = ARCHITECTURES[model.sm]
    properties = SimpleNamespace(
        name=f"NVIDIA {model.name}",
        major=model.sm // 10,
        minor=model.sm % 10,
        multi_processor_count=model.multiprocessors,
        warp_size=WARP_THREADS,
        max_threads_per_multi_processor=made.warps * WARP_THREADS,
        regs_per_multiprocessor=REGISTERS,
        shared_memory_per_multiprocessor=made.shared_bytes,
        shared_memory_per_block_optin=made.block_shared_bytes,
        total_memory=80 << 30,
        L2_cache_size=50 << 20,
    )
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: None, wait_stream=lambda other: None)
    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "get_device_name": lambda device=None: properties.name,
        "current_stream": lambda device=None: stream,
        "_exchange_device": lambda index: index,  # of `with torch.cuda.device(…)`
        "_maybe_exchange_device": lambda index: index,
        "empty_cache": lambda: None,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.enter_context(_OnGpu())
        yield
