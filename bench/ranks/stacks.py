"""Where ranks are that came to no end: in code of their own, or waiting for others in a call of torch.distributed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

WRITING_S = 0.5  # for a process to write its stack
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<name>\S+)')
WRAPPERS = ("wrapper", "<lambda>")
LIBRARY = "torch/distributed/"
BARRIER = "ranks/windows.py"


@dataclass(frozen=True)
class Standing:
    """Where one rank stands. collective: the call of torch.distributed that it waits in; place: else, the line."""

    collective: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        if self.collective is not None:
            return f"waits in {self.collective}"
        return f"is at {self.place}" if self.place else "does not answer"


def where_they_are(processes: Mapping[int, tuple[int, Path]]) -> dict[int, Standing]:
    """By rank, of processes that write their stack to a file at SIGUSR1; each with its number and that file."""
    before = {}
    for rank, (process, file) in processes.items():
        before[rank] = file.stat().st_size
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGUSR1)
    time.sleep(WRITING_S)
    return {rank: standing(_after(file, before[rank])) for rank, (_, file) in processes.items()}


def standing(stack: str) -> Standing:
    """Of a stack, the innermost frame first."""
    frames = [match.groupdict() for match in FRAME.finditer(stack)]
    if not frames:
        return Standing()
    within = [frame["name"] for frame in frames if LIBRARY in frame["file"]]
    called = [name for name in within if name not in WRAPPERS]
    if within and LIBRARY in frames[0]["file"]:
        return Standing(collective=called[-1] if called else within[-1])
    first = frames[0]
    if first["file"].endswith(BARRIER):
        return Standing(collective="the barrier before its call")
    return Standing(place=f"{first['file']}:{first['line']}, {first['name']}")


def _after(file: Path, start: int) -> str:
    return file.read_bytes()[start:].decode(errors="replace")
