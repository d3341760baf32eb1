"""Processes that a worker started and left, found by a mark in their environment and ended with it.

A process group does not hold those that begin a session of their own, nor does a parent know those whose parent died.
What they inherit is the environment; one that gives its child another is not found.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

import psutil

VARIABLE = "ATTNLAB_WORKER"


def new_mark() -> dict[str, str]:
    """A variable for the environment of one process and of all that come from it, with the marks of those before."""
    marks = [mark for mark in (os.environ.get(VARIABLE), secrets.token_hex(8)) if mark]
    return {VARIABLE: ":".join(marks)}


def end_marked(mark: dict[str, str]) -> list[int]:
    """Kill every process of this user that has the mark, but this one; their numbers."""
    ended, own = [], mark[VARIABLE].rpartition(":")[2]
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
            if process.pid != os.getpid() and own in process.environ().get(VARIABLE, "").split(":"):
                process.kill()
                ended.append(process.pid)
    return ended
