"""Which dtypes attention kernels of libraries serve."""

from __future__ import annotations


def dtype_limits(dtype: str) -> str | None:
    """Why a kernel that has only half precision does not serve a dtype; None where it does."""
    return "float32 is not served: float16 and bfloat16 only" if dtype == "float32" else None
