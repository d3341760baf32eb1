"""What the implementations by our kernels in C for a CPU share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnlab.bench import Unavailable
from attnlab.kernels.cpu.row_numbers import NoCompiler


def made(make: Callable[..., Any], *of: Any) -> Any:
    """A kernel, compiled; raises Unavailable where it cannot be."""
    try:
        return make(*of)
    except NoCompiler as error:
        raise Unavailable(str(error)) from error
