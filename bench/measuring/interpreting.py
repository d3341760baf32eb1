"""On a CPU, Triton's kernels run in its interpreter: it reads a variable when it defines them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

INTERPRET = "TRITON_INTERPRET"


def interpreting(device: str) -> dict[str, str]:
    """What a process that computes on a `device` of that kind must have in its environment."""
    return {INTERPRET: "1"} if device == "cpu" else {}


@contextmanager
def as_in_a_worker(device: str) -> Iterator[None]:
    """Inside, this process has the environment of a worker; afterwards its own again."""
    before = os.environ.get(INTERPRET)
    os.environ.update(interpreting(device))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(INTERPRET, None)
        else:
            os.environ[INTERPRET] = before
