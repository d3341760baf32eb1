"""Locks on files, which the kernel lets go of however a process ends; on a file system without locks nobody waits."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def alone_with(file: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Alone among the processes that come here with this file, which is made where it is missing.

    `wait` is called before another one's end is waited for. Raises OSError where the file cannot be opened.
    """
    with file.open("ab") as opened:
        if not take(opened):
            wait()
            with suppress(OSError):
                fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Alone among the processes that come here with this folder, which has to be there; others are waited for."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def take(file: IO[bytes]) -> bool:
    """Take the lock of an open file until it is closed; False where another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True
