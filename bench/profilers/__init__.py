"""Profilers, one file each with a `PROFILER`; files without one read what a compiler made, or hold what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.contract.discovery import UNRANKED, Folder

if TYPE_CHECKING:
    from attnlab.bench.profilers.profiled_call import ProfiledCall
    from attnlab.bench.profilers.record import ToolRecord


@dataclass(frozen=True)
class Profiler:
    """One tool that takes a call apart.

    missing(call): None, or why the tool cannot be used on this call here, and how to get it. profile(call, folder):
    makes the call as often as it needs, writes what is raw (a trace, a listing) into the folder, which is there and
    empty, and gives what it found; raises MeasurementError, with why and how to mend it, where it finds nothing.
    needs_calls: whether it has to make the call; one that does not also serves what cannot be timed here.
    Tools are used by rising rank.
    """

    name: str
    summary: str
    missing: Callable[[ProfiledCall], str | None]
    profile: Callable[[ProfiledCall, Path], ToolRecord]
    needs_calls: bool = True
    rank: int = UNRANKED


PROFILERS: Folder[Profiler] = Folder("profiler", __name__, "PROFILER", lambda profiler: profiler.rank)


def in_order() -> list[Profiler]:
    """All profilers by rank, then by name."""
    return sorted(PROFILERS, key=lambda profiler: (profiler.rank, profiler.name))
