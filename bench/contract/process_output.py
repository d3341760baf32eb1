"""What a process prints, read as it comes: its beginning and its end are kept, and nothing else takes room."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import suppress

from attnlab.bench.text import LONGEST_BLOCK, block

HEAD_BYTES, TAIL_BYTES = 8_192, 32_768
CHUNK_BYTES = 1 << 16
MOST_CHUNKS = 64  # of what is left in a pipe: something else may go on writing to it
LOOK_S = 0.05
BULKY_LINE = "Extension modules:"  # hundreds of names after a crash, which would push the traceback out


class PrintedOutput:
    """What was printed since some moment: how much, and its two ends."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._head, self._tail = bytearray(), bytearray()

    def add(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        room = HEAD_BYTES - len(self._head)
        self._head += chunk[: max(0, room)]
        self._tail += chunk[max(0, room) :]
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def text(self, limit: int = LONGEST_BLOCK) -> str | None:
        """Printable, at most `limit` characters; None where nothing was printed."""
        lost = self.size_bytes - len(self._head) - len(self._tail)
        between = f"\n… {lost} bytes left out …\n".encode() if lost else b""
        lines = (self._head + between + self._tail).decode(errors="replace").splitlines()
        return block("\n".join(line for line in lines if not line.startswith(BULKY_LINE)).strip(), limit) or None


class OutputPipe:
    """The pipe that a process prints into; `far_end` is its own, to be closed here once it has begun."""

    def __init__(self) -> None:
        self._near_end, self.far_end = os.pipe()
        os.set_blocking(self._near_end, False)
        self.open = True
        self.printed = PrintedOutput()

    def fileno(self) -> int:
        return self._near_end

    def hand_over(self) -> None:
        """The process has its end."""
        os.close(self.far_end)

    def read(self) -> bool:
        """Take what is there, a chunk at most; whether there was any."""
        if not self.open:
            return False
        try:
            chunk = os.read(self._near_end, CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.open = bool(chunk)
        self.printed.add(chunk)
        return self.open

    def empty(self) -> None:
        """Take what is there by now."""
        for _ in range(MOST_CHUNKS):
            if not self.read():
                break

    def wait(self, process: subprocess.Popen[bytes], limit_s: float) -> int | None:
        """The exit code of a process, or None at the limit; what it prints is taken, without which it could not end."""
        deadline = time.monotonic() + limit_s
        while (code := process.poll()) is None and time.monotonic() < deadline:
            if self.open:
                select.select([self], [], [], LOOK_S)
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_S)
            self.read()
        self.empty()
        return code

    def close(self) -> None:
        os.close(self._near_end)
