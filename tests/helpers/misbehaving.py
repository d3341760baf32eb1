"""A plugin whose implementation of `toy` does something different at each size; see `BEHAVIOURS`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from toy_operator import ToyInputs

from attnlab.bench import Unavailable, implements

HUGE_BYTES = 1 << 36  # far more than the memory limit of any test


def segfault() -> None:
    ctypes.string_at(0)


def endless() -> None:
    while True:
        time.sleep(0.01)


def torch_memory() -> None:
    torch.ones(HUGE_BYTES, dtype=torch.uint8)


def numpy_memory() -> None:
    np.ones(HUGE_BYTES, dtype=np.uint8)


def native_memory() -> None:
    """C++'s operator new throws, and nobody catches."""
    new = ctypes.CDLL("libstdc++.so.6")._Znwm
    new.argtypes, new.restype = [ctypes.c_size_t], ctypes.c_void_p
    new(1 << 62)


def exits() -> None:
    os._exit(3)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raises() -> None:
    raise ValueError("a fault\nof two lines")


def unavailable() -> None:
    raise Unavailable("found out late")


def says_it_is_out_of_memory() -> None:
    print("pretending to be out of memory")


def prints() -> None:
    """Noise in the form of the protocol, on every channel that a kernel may know of."""
    print('["measurement", {"outcome": "passed"}]', flush=True)
    os.write(1, b'["phase", "lies"]\n')
    os.write(2, b"\xff\xfe not text\n")
    sys.stderr.write("x" * 100_000)


def reads() -> None:
    """Requests are none of a kernel's business: it finds its input at the end."""
    assert sys.stdin.read() == ""
    assert os.read(0, 1) == b""


BEHAVIOURS: dict[int, Callable[[], None]] = {
    100: segfault,
    101: endless,
    102: torch_memory,
    103: numpy_memory,
    104: native_memory,
    105: exits,
    106: killed,
    107: raises,
    108: unavailable,
    109: says_it_is_out_of_memory,
    110: prints,
    111: reads,
}


@implements("toy", name="misbehaving")
class Misbehaving:
    """Behaves at sizes under 100."""

    def run(self, inputs: ToyInputs, state: object) -> Tensor:
        behaviour = BEHAVIOURS.get(inputs.x.numel())
        if behaviour is not None:
            behaviour()
        return inputs.x * 2
