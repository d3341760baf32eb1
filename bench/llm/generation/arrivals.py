"""When requests arrive: all at once, at a fixed rate, as a Poisson process, or as a trace says."""

from __future__ import annotations

import math
import random
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.errors import ImpossibleCase, TraceError

TOGETHER = "together"
MOST_TRACE_BYTES = 1 << 30
PATTERN = r"together|(?:rate|poisson):\d+(?:_\d+)?|trace@[A-Za-z0-9_%]+"


@dataclass(frozen=True)
class Arrivals:
    """kind: `together`, `rate`, `poisson` (both with requests per second) or `trace` (with the file's path)."""

    kind: str
    per_second: float = 0.0
    path: str = ""

    @classmethod
    def read(cls, value: Any) -> Arrivals:
        """From `together`, `rate:2`, `poisson:0_5` (or `poisson:0.5`), `trace@` and a path; raises ImpossibleCase."""
        if isinstance(value, Arrivals):
            return value
        text = str(value)
        if text == TOGETHER:
            return cls(TOGETHER)
        rate = re.fullmatch(r"(rate|poisson):(\d+(?:[._]\d+)?)", text)
        if rate and float(rate[2].replace("_", ".")) > 0:
            return cls(rate[1], float(rate[2].replace("_", ".")))
        if text.startswith("trace@") and len(text) > len("trace@"):
            return cls("trace", path=unescaped(text.removeprefix("trace@")))
        raise ImpossibleCase(
            f"got {value!r}; expected together, rate:R or poisson:R with R requests per second such as 2 or 0.5, "
            "or trace@PATH, a file with a time in seconds a line"
        )

    def write(self) -> str:
        if self.kind == "trace":
            return f"trace@{escaped(self.path)}"
        return self.kind if self.kind == TOGETHER else f"{self.kind}:{self.per_second:g}".replace(".", "_")

    def times_s(self, requests: int, seed: int) -> tuple[float, ...]:
        """When each request arrives, in seconds, rising; the first of a rate comes at 0. Raises TraceError."""
        if self.kind == "rate":
            return tuple(n / self.per_second for n in range(requests))
        if self.kind == "poisson":
            source = random.Random(seed)
            times = [0.0]
            while len(times) < requests:
                times.append(times[-1] + source.expovariate(self.per_second))
            return tuple(times)
        if self.kind == "trace":
            times = list(read_trace(Path(self.path)))
            if len(times) < requests:
                raise TraceError(f"{self.path}: got {len(times)} times for {requests} requests; give as many or more")
            return tuple(times[:requests])
        return (0.0,) * requests


def read_trace(path: Path, most: int | None = None) -> list[float]:
    """Times in seconds, one a line, # begins a comment, at most so many; raises TraceError naming the line that is
    wrong. What stands behind the last one that is wanted is not read."""
    check_trace(path)
    times: list[float] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                text = line.partition("#")[0].strip()
                if text:
                    times.append(_time(text, f"{path}:{number}", times[-1] if times else 0.0))
                if len(times) == most:
                    break
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise TraceError(f"{path}: the trace cannot be read: {reason}; give a text file with a time a line") from error
    if not times:
        raise TraceError(f"{path}: got no times; expected one time in seconds a line")
    return times


def check_trace(path: Path) -> None:
    """Raises TraceError of what is no file: a device or a pipe may never end, and cannot be read twice."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise TraceError(f"{path}: the trace cannot be read: {reason}; give a text file") from error
    if not stat.S_ISREG(found.st_mode):
        raise TraceError(f"{path}: the trace cannot be read: it is no regular file; give a text file")
    if found.st_size > MOST_TRACE_BYTES:
        size, most = units.format_bytes(found.st_size), units.format_bytes(MOST_TRACE_BYTES)
        raise TraceError(f"{path}: got a trace of {size}; expected {most} at most: take a part of it")


def _time(text: str, place: str, before: float) -> float:
    try:
        time_s = float(text)
    except ValueError:
        raise TraceError(f"{place}: got {text!r}; expected a time in seconds") from None
    if not math.isfinite(time_s) or time_s < 0:
        raise TraceError(f"{place}: got {text}; expected a finite time of 0 s or more")
    if time_s < before:
        raise TraceError(f"{place}: got {text} after {before:g}; expected rising times: sort the trace")
    return time_s


def escaped(path: str) -> str:
    """A path in the characters that a case id may hold: letters, digits and _; the others as %XX."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c == "_") else "".join(f"%{byte:02X}" for byte in c.encode()) for c in path
    )


def unescaped(text: str) -> str:
    """What `escaped` made it from; a path that was never escaped comes back as it is."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode(errors="replace")
