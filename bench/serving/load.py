"""How requests come to a server: so many at a time, or at times of their own; and which of them are the steady part."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnlab.bench.errors import ImpossibleCase, ServiceError
from attnlab.bench.llm.generation.arrivals import escaped, unescaped
from attnlab.bench.serving.traces import read_rows

NUMBER = r"\d+(?:[._]\d+)?"
PATTERN = rf"concurrency:\d+|(?:fixed|poisson):{NUMBER}|gamma:{NUMBER}:{NUMBER}|together|trace@[A-Za-z0-9_%]+"
OPEN = ("fixed", "poisson", "gamma", "trace", "together")


@dataclass(frozen=True)
class Load:
    """kind: `concurrency`, a closed loop in which so many conversations are always under way and the next begins when
    one ends; or an open loop, in which each begins when it is due, whatever became of the others: `fixed`, `poisson`
    and `gamma` with conversations per second, `trace` with a file's times, `together` all at once.

    shape: of the gamma distribution of gaps: 1 is Poisson, below it arrivals are burstier (their coefficient of
    variation is 1/√shape), above it more even. path: the trace's file. A request alone is a conversation of one turn.

    warm_up_s, warm_up_requests: what lies before the steady window: the window begins when both are over. stop_after_s:
    no conversation is begun after it; None sends all. Neither is part of the spelling.
    """

    kind: str
    concurrency: int = 0
    per_second: float = 0.0
    shape: float = 1.0
    path: str = ""
    warm_up_s: float = 0.0
    warm_up_requests: int = 0
    stop_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "concurrency":
            if self.concurrency < 1:
                raise ServiceError(f"got a load of {self.concurrency} at a time; expected 1 or more")
        elif self.kind not in OPEN:
            raise ServiceError(f"got a load of kind {self.kind!r}; expected concurrency or one of {', '.join(OPEN)}")
        elif self.kind in ("fixed", "poisson", "gamma") and not 0 < self.per_second < math.inf:
            raise ServiceError(f"got {self.per_second:g} requests per second; expected a finite number above 0")
        if not 0 < self.shape < math.inf:
            raise ServiceError(f"got a gamma distribution of shape {self.shape:g}; expected a finite number above 0")
        if not 0 <= self.warm_up_s < math.inf or self.warm_up_requests < 0:
            raise ServiceError("got a warm-up below zero; expected 0 s and 0 requests, which is none, or more")
        if self.stop_after_s is not None and not self.stop_after_s > 0:
            raise ServiceError(f"got stop_after_s={self.stop_after_s}; expected a time above 0 s, or none")

    @property
    def closed(self) -> bool:
        return self.kind == "concurrency"

    @classmethod
    def read(cls, value: Any) -> Load:
        """From `concurrency:8`, `fixed:2`, `poisson:0_5` (or `0.5`), `gamma:2:0_5` (rate and shape), `together`,
        `trace@` and a path; raises ImpossibleCase."""
        if isinstance(value, Load):
            return value
        text = str(value)
        numbers = [float(one.replace("_", ".")) for one in re.findall(NUMBER, text)]
        if re.fullmatch(r"concurrency:\d+", text) and numbers[0] >= 1:
            return cls("concurrency", concurrency=int(numbers[0]))
        if re.fullmatch(rf"(fixed|poisson):{NUMBER}|gamma:{NUMBER}:{NUMBER}", text) and min(numbers) > 0:
            return cls(text.partition(":")[0], per_second=numbers[0], shape=numbers[1] if len(numbers) > 1 else 1.0)
        if text == "together":
            return cls(text)
        if text.startswith("trace@") and len(text) > len("trace@"):
            return cls("trace", path=unescaped(text.removeprefix("trace@")))
        raise ImpossibleCase(
            f"got {value!r}; expected concurrency:N, fixed:R or poisson:R with R requests per second such as 2 or 0.5, "
            "gamma:R:SHAPE, together, or trace@PATH"
        )

    def write(self) -> str:
        """What `read` reads back, in the characters of a case id."""
        if self.kind == "trace":
            return f"trace@{escaped(self.path)}"
        numbers: list[float] = [] if self.kind == "together" else [self.concurrency if self.closed else self.per_second]
        if self.kind == "gamma":
            numbers.append(self.shape)
        return ":".join([self.kind, *(f"{number:.12g}".replace(".", "_") for number in numbers)])

    def warmed_up(self, seconds: float = 0.0, requests: int = 0) -> Load:
        """The same load with another warm-up."""
        return replace(self, warm_up_s=seconds, warm_up_requests=requests)

    def times_s(self, count: int, seed: int) -> tuple[float, ...]:
        """When each of so many conversations begins, in seconds, rising, the first of a rate at 0; zeros of a closed
        loop. Raises TraceError where a trace has fewer."""
        if self.kind == "fixed":
            return tuple(n / self.per_second for n in range(count))
        if self.kind in ("poisson", "gamma"):
            source, shape = random.Random(seed), 1.0 if self.kind == "poisson" else self.shape
            times = [0.0]
            while len(times) < count:
                gap_s = source.gammavariate(shape, 1 / (shape * self.per_second))
                times.append(times[-1] + gap_s)
            return tuple(times[:count])
        if self.kind == "trace":
            return tuple(row.time_s for row in read_rows(Path(self.path), count))
        return (0.0,) * count
