"""Processes that a worker started and left, found by a mark in their environment and ended with it.

A process group does not hold those that begin a session of their own, nor does a parent know those whose parent died.
What they inherit is the environment; one that gives its child another is not found.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

import psutil

from attnlab.bench import units

VARIABLE = "ATTNLAB_WORKER"


def new_mark() -> dict[str, str]:
    """A variable for the environment of one process and of all that come from it, with the marks of those before."""
    marks = [mark for mark in (os.environ.get(VARIABLE), secrets.token_hex(8)) if mark]
    return {VARIABLE: ":".join(marks)}


def end_marked(mark: Mapping[str, str]) -> list[int]:
    """Kill every process of this user that has the mark, but this one; their numbers."""
    ended = []
    for process in _marked(mark):
        with suppress(psutil.Error, OSError):  # gone meanwhile
            process.kill()
            ended.append(process.pid)
    return ended


def spent_by_marked_ns(mark: Mapping[str, str]) -> float:
    """Processor time of every process that has the mark, and of those of their children that ended."""
    spent_s = 0.0
    for process in _marked(mark):
        with suppress(psutil.Error, OSError):
            spent_s += sum(process.cpu_times()[:4])
    return units.seconds_to_ns(spent_s)


def _marked(mark: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Every process of this user that has the mark, but this one."""
    own = mark[VARIABLE].rpartition(":")[2]
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
            if process.pid != os.getpid() and own in process.environ().get(VARIABLE, "").split(":"):
                yield process


def end_with(parent: int) -> None:
    """Linux: be killed when the parent is, so that no orphan goes on computing."""
    with suppress(OSError, AttributeError):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(1)
