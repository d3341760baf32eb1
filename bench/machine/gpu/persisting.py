"""The part of a GPU's L2 that is set aside for data that stays, by CUDA's driver.

Data that lie there, marked by an access-policy window of a stream or a kernel, outlive whatever else is read or
written: no flush empties it. See "L2 Cache Control" in the CUDA programming guide. Has not run on a device yet.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

PERSISTING_L2_CACHE_SIZE = 6  # of CUlimit


def give_back() -> int | None:
    """Set no bytes aside from here on, and make what lies there like any other data; the bytes that were set aside.

    None where the driver is not there or does not say. Of the current context; the device should be done.
    """
    driver = _driver()
    held = ctypes.c_size_t()
    if driver is None or driver.cuCtxGetLimit(ctypes.byref(held), PERSISTING_L2_CACHE_SIZE):
        return None
    if held.value:
        driver.cuCtxSetLimit(PERSISTING_L2_CACHE_SIZE, ctypes.c_size_t(0))
    driver.cuCtxResetPersistingL2Cache()
    return held.value


@functools.cache
def _driver() -> Any:
    """The driver's library, which torch has loaded already; None where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
