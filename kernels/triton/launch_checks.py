"""What every launcher shares on the host: checks of arguments, which say what was got, expected, and how to mend it."""

import math

import torch
from torch import Tensor

from attnlab.kernels.triton.device import INTERPRETED

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DTYPE_NAMES = ", ".join(map(str, DTYPES))
LARGEST_HEAD_DIM = 256


def expect(fits: bool, got: str, expected: str, mend: str) -> None:
    """ValueError with these words unless an argument fits."""
    if not fits:
        raise ValueError(f"got {got}; expected {expected}; {mend}")


def check_device(name: str, x: Tensor) -> None:
    """ValueError for a tensor on a CPU, unless kernels run in the interpreter."""
    expect(
        x.device.type != "cpu" or bool(INTERPRETED.value),
        f"{name} on cpu",
        "tensors on a GPU",
        "move them, or set TRITON_INTERPRET=1 before the import to run in the interpreter",
    )


def check_beside(name: str, x: Tensor, like: Tensor) -> None:
    """ValueError unless both are on one device."""
    expect(x.device == like.device, f"{name} on {x.device}", str(like.device), f"move {name}")


def check_dense_rows(name: str, x: Tensor) -> None:
    """ValueError unless the last axis has stride 1."""
    dense = x.shape[-1] <= 1 or x.stride(-1) == 1 or x.numel() == 0
    expect(dense, f"{name} with stride {x.stride(-1)} in its last axis", "stride 1", f"pass {name}.contiguous()")


def check_contiguous(name: str, x: Tensor) -> None:
    """ValueError unless a tensor has no gaps."""
    expect(x.is_contiguous(), f"{name} with gaps", "contiguous memory", f"pass {name}.contiguous()")


def check_head_dim(name: str, size: int) -> None:
    """ValueError unless kernels serve a head of this size."""
    expect(1 <= size <= LARGEST_HEAD_DIM, f"{name} {size}", f"1 to {LARGEST_HEAD_DIM}", "split the head")


def check_groups(q_heads: int, kv_heads: int) -> None:
    """ValueError unless each key-value head has a whole number of query heads."""
    fits = kv_heads > 0 and q_heads % kv_heads == 0
    expect(fits, f"{q_heads} query heads over {kv_heads} key-value heads", "a multiple", "repeat or drop heads")


def check_scale(scale: float) -> None:
    """ValueError unless scores can be scaled by it before their maximum is taken."""
    fits = math.isfinite(scale) and scale > 0
    expect(fits, f"scale {scale}", "a finite number above zero", "negate q for a negative scale")


def check_window(window: int | None) -> None:
    """ValueError for a sliding window in which no key lies."""
    expect(window is None or window >= 1, f"window {window}", "at least 1 key", "pass None for no window")
