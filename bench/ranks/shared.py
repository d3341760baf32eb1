"""Values whose tensors lie in memory that processes share: what one writes the others read, and nothing is copied.

The memory has no name and is gone with the last process that maps it: none is left behind by one that is killed.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class SharedMemory:
    """Tensors on the CPU that were made or put here; `close` it when all others have mapped them."""

    _descriptors: dict[int, int] = field(default_factory=dict)
    """By where the memory begins here."""

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor, zeros at first."""
        count = torch.Size(shape).numel()
        return (
            _tensor(self._memory(count * dtype.itemsize), dtype, 0, shape) if count else torch.empty(shape, dtype=dtype)
        )

    def adopt(self, tensors: Iterable[Tensor]) -> None:
        """Move tensors of the CPU here, in place: they stay what they are, those of one memory too."""
        moved: dict[int, tuple[Any, Any]] = {}
        for tensor in tensors:
            old = tensor.untyped_storage()
            if not tensor.numel() or old.data_ptr() in self._descriptors:
                continue
            if old.data_ptr() not in moved:
                new = self._memory(old.nbytes())
                new.copy_(old)
                moved[old.data_ptr()] = old, new  # the old one is kept, so that no other gets its place
            tensor.set_(moved[old.data_ptr()][1], tensor.storage_offset(), tensor.shape, tensor.stride())

    def adopt_of(self, value: Any) -> None:
        """Move the tensors of the CPU that a value holds here, wherever in it they are."""
        found: list[Tensor] = []
        _Finder(found).dump(value)
        self.adopt(found)

    def place(self, tensor: Tensor) -> str | None:
        """The file that other processes of this user map a tensor's memory from; None where it does not lie here."""
        held = tensor.device.type == "cpu" and self._descriptors.get(tensor.untyped_storage().data_ptr())
        return f"/proc/{os.getpid()}/fd/{held}" if held else None

    def _memory(self, size_bytes: int) -> Any:
        descriptor = os.memfd_create("attnlab-ranks")
        os.ftruncate(descriptor, size_bytes)
        made = _mapped(f"/proc/self/fd/{descriptor}")
        self._descriptors[made.data_ptr()] = descriptor
        return made

    def dumps(self, value: Any) -> bytes:
        """A value, with the places of those of its tensors that lie here."""
        written = io.BytesIO()
        _Writer(self, written).dump(value)
        return written.getvalue()

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()


class _Finder(pickle.Pickler):
    """Writes nothing that is read: it goes through a value, and keeps the tensors of the CPU that it comes by."""

    def __init__(self, found: list[Tensor]) -> None:
        super().__init__(io.BytesIO(), protocol=pickle.HIGHEST_PROTOCOL)
        self._found = found

    def persistent_id(self, obj: Any) -> Any:
        if type(obj) is not Tensor:
            return None
        if obj.device.type == "cpu":
            self._found.append(obj)
        return len(self._found)


class _Writer(pickle.Pickler):
    def __init__(self, memory: SharedMemory, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._memory = memory

    def persistent_id(self, obj: Any) -> Any:
        path = self._memory.place(obj) if type(obj) is Tensor else None
        return None if path is None else (path, obj.dtype, obj.storage_offset(), tuple(obj.shape), tuple(obj.stride()))


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._mapped: dict[str, Any] = {}

    def persistent_load(self, place: Any) -> Tensor:
        path, *where = place
        if path not in self._mapped:
            self._mapped[path] = _mapped(path)
        return _tensor(self._mapped[path], *where)


def loads(written: bytes) -> Any:
    """What `SharedMemory.dumps` wrote, with the same memory."""
    return _Reader(io.BytesIO(written)).load()


def _mapped(path: str) -> Any:
    return torch.from_file(path, shared=True, size=os.stat(path).st_size, dtype=torch.uint8).untyped_storage()


def _tensor(
    memory: Any, dtype: torch.dtype, offset: int, shape: tuple[int, ...], strides: tuple[int, ...] | None = None
) -> Tensor:
    strides = torch.empty(shape, device="meta").stride() if strides is None else strides
    return torch.empty(0, dtype=dtype).set_(memory, offset, shape, strides)
