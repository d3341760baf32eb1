"""Outputs as plain bytes: what is taken of a tensor without asking the tensor, and which tensors are refused.

All functions used here are bound when the harness is imported, before any plugin is. The memory of a CPU is read past
torch's dispatcher, so that no subclass, mode or override of an operation computes anything when an output is looked at.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attnlab.bench.contract.operator_spec import TensorSpec
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.store.records import Outcome

_C: Any = torch._C
_Tensor = torch.Tensor
_type, _strided = type, torch.strided
_shape, _stride = _Tensor.size, _Tensor.stride
_dtype, _device, _layout = (vars(_C.TensorBase)[name].__get__ for name in ("dtype", "device", "layout"))
_flags = {
    "quantised": vars(_C.TensorBase)["is_quantized"].__get__,
    "nested": vars(_C.TensorBase)["is_nested"].__get__,
    "on no device (meta)": vars(_C.TensorBase)["is_meta"].__get__,
    "a conjugate that is not computed yet": _Tensor.is_conj,
    "a negative that is not computed yet": _Tensor.is_neg,
    "a wrapper of torch.func": _C._functorch.is_functorch_wrapped_tensor,
}
_data_ptr, _storage, _cpu = _Tensor.data_ptr, _Tensor.untyped_storage, _Tensor.cpu
_detach, _contiguous, _is_contiguous = _Tensor.detach, _Tensor.contiguous, _Tensor.is_contiguous
_copy, _move = _Tensor.copy_, ctypes.memmove
_no_functions, _no_dispatch = _C.DisableTorchFunction, _C._DisableTorchDispatch
_array, _copied = np.ndarray, functools.partial(np.array, order="C", copy=True)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class TensorBytes:
    """One output as it was at one moment: its bytes in the order of its indices, with shape and dtype."""

    data: Bytes
    shape: tuple[int, ...]
    dtype: str

    def same(self, other: TensorBytes) -> bool:
        return self.shape == other.shape and self.dtype == other.dtype and self.data.tobytes() == other.data.tobytes()


Outputs = tuple[TensorBytes, ...]


def named(dtype: Any) -> str:
    """Such as `float32`."""
    return str(dtype).removeprefix("torch.")


def check_plain(out: Any, spec: TensorSpec, device: torch.device | None) -> None:
    """Raises Rejected unless an output is exactly a torch.Tensor, dense, computed, and of the contract's form.

    device: where it has to lie; None where that does not matter.
    """
    expected = f"expected a dense torch.Tensor {list(spec.shape)} of {named(spec.dtype)}"
    if _type(out) is not _Tensor:
        raise Rejected(Outcome.WRONG_SHAPE, f"{spec.name} is a {_type(out).__name__}; {expected}")
    with _no_functions(), _no_dispatch():
        if _layout(out) is not _strided:
            raise Rejected(Outcome.WRONG_SHAPE, f"{spec.name} has layout {_layout(out)}; {expected}")
        for word, is_so in _flags.items():
            if is_so(out):
                raise Rejected(Outcome.WRONG_SHAPE, f"{spec.name} is {word}; {expected}")
        shape = tuple(_shape(out))
        if shape != spec.shape:
            raise Rejected(Outcome.WRONG_SHAPE, f"{spec.name} has shape {list(shape)}; expected {list(spec.shape)}")
        if _dtype(out) != spec.dtype:
            reason = f"{spec.name} has dtype {_dtype(out)}; expected {spec.dtype}"
            raise Rejected(Outcome.WRONG_DTYPE, reason)
        if device is not None and _device(out).type != device.type:
            raise Rejected(Outcome.WRONG_SHAPE, f"{spec.name} is on {_device(out)}; expected it on {device.type}")
        if any(size > 1 and step == 0 for size, step in zip(shape, _stride(out), strict=True)):
            reason = f"{spec.name} shows the same memory several times (strides {list(_stride(out))}); {expected}"
            raise Rejected(Outcome.WRONG_SHAPE, f"{reason}, each element with a place of its own")
        size_bytes = math.prod(shape) * spec.dtype.itemsize
        if size_bytes and (_storage(out).nbytes() < size_bytes or not _data_ptr(out)):
            held = _storage(out).nbytes()
            raise Rejected(Outcome.WRONG_SHAPE, f"{spec.name} has memory of {held} bytes; {expected}: {size_bytes}")


def take(out: torch.Tensor) -> TensorBytes:
    """The bytes of a plain tensor as they are now; of one on a GPU when all that was launched before is done."""
    with _no_functions(), _no_dispatch():
        if _device(out).type != "cpu":
            out = _cpu(_contiguous(_detach(out)))
        shape, step = tuple(_shape(out)), tuple(_stride(out))
        dtype = _dtype(out)
        address = _data_ptr(out)
    return TensorBytes(_read(address, shape, step, dtype.itemsize), shape, named(dtype))


def put(out: torch.Tensor, place: torch.Tensor) -> None:
    """Write a plain tensor into another of its shape and dtype; on a CPU, as `take`, no override sees it."""
    with _no_functions(), _no_dispatch():
        on_cpu = _device(place).type == _device(out).type == "cpu"
        if not on_cpu or not _is_contiguous(place) or not _is_contiguous(out):
            _copy(place, out)
        else:
            _move(_data_ptr(place), _data_ptr(out), math.prod(_shape(place)) * _dtype(place).itemsize)


def _read(address: int, shape: Sequence[int], step: Sequence[int], item: int) -> Bytes:
    if not math.prod(shape):
        return np.empty(0, np.uint8)
    reach = (1 + sum((size - 1) * by for size, by in zip(shape, step, strict=True))) * item
    memory: Any = (ctypes.c_ubyte * reach).from_address(address)
    view: Any = _array(tuple(shape), np.dtype((np.void, item)), memory, 0, tuple(by * item for by in step))
    return _copied(view).reshape(-1).view(np.uint8)  # type: ignore[no-any-return]


def rebuilt(data: Bytes, spec: TensorSpec, device: torch.device) -> torch.Tensor:
    """A plain tensor of those bytes."""
    made = torch.from_numpy(data).view(spec.dtype) if data.size else torch.empty(0, dtype=spec.dtype)
    return made.reshape(spec.shape).to(device)
