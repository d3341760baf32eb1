"""Python's collector of cycles, which looks at all objects again and again while many are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Collect nothing inside: for records, which hold no cycles and stay. It goes on afterwards if it did before."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def set_aside() -> Iterator[None]:
    """Look through nothing inside that was made before: where much is held while other things come and go."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
