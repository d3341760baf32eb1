"""How requests are put to a server: so many at a time, at a rate, as a trace has them, or as turns of conversations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.generation.arrivals import escaped, unescaped
from attnlab.bench.llm.sampling_params import write_number
from attnlab.bench.serving.load import Load

CONCURRENCY, RATE, POISSON, GAMMA = "concurrency", "rate", "poisson", "gamma"
TRACE, CONVERSATIONS = "trace", "conversations"
OPEN = (RATE, POISSON, GAMMA, TRACE)
"""Kinds whose requests are sent when they are due, whatever became of those before."""
NUMBER = r"\d+(?:_\d+)?"
PATTERN = (
    rf"concurrency:\d+|(?:rate|poisson):{NUMBER}|gamma:{NUMBER}:{NUMBER}|trace@[A-Za-z0-9_%]+"
    rf"|conversations:\d+:{NUMBER}"
)
EXPECTED = (
    "concurrency:N, rate:R, poisson:R, gamma:R:SHAPE (R requests a second, such as 2 or 0.5), trace@PATH, or "
    "conversations:TURNS:THINK with the seconds between an answer and the next turn"
)
MOST_AT_ONCE = 4096
LARGEST = 2**31


@dataclass(frozen=True)
class LoadAxis:
    """kind: one of the six. at_once: requests in flight. per_second, shape: of open loops; the shape of gamma is that
    of the times between requests, 1 as for Poisson, less in bursts. path: of a trace. turns, think_s: of conversations.
    """

    kind: str
    at_once: int = 0
    per_second: float = 0.0
    shape: float = 1.0
    path: str = ""
    turns: int = 1
    think_s: float = 0.0

    @classmethod
    def read(cls, value: Any) -> LoadAxis:
        """From one of the spellings in `EXPECTED`, with `_` or `.` in decimals; raises ImpossibleCase."""
        if isinstance(value, LoadAxis):
            return value
        text = str(value)
        if text.startswith("trace@") and len(text) > len("trace@"):
            return cls(TRACE, path=unescaped(text.removeprefix("trace@")))
        spelled = text.replace(".", "_")
        if not re.fullmatch(PATTERN, spelled):
            raise ImpossibleCase(f"got {value!r}; expected {EXPECTED}")
        kind, *parts = spelled.split(":")
        numbers = [float(part.replace("_", ".")) for part in parts]
        thinks = kind == CONVERSATIONS
        if max(numbers) >= LARGEST or not numbers[0] or not (numbers[-1] or thinks):
            raise ImpossibleCase(f"got {value!r}; expected numbers above zero in {EXPECTED}")
        if kind == CONCURRENCY:
            if numbers[0] > MOST_AT_ONCE:
                raise ImpossibleCase(f"got {value!r}; expected at most {MOST_AT_ONCE} requests at a time")
            return cls(kind, at_once=int(numbers[0]))
        if thinks:
            return cls(kind, turns=int(numbers[0]), think_s=numbers[1])
        return cls(kind, per_second=numbers[0], shape=numbers[1] if kind == GAMMA else 1.0)

    def write(self) -> str:
        if self.kind == TRACE:
            return f"trace@{escaped(self.path)}"
        numbers: dict[str, tuple[float, ...]] = {
            CONCURRENCY: (self.at_once,),
            CONVERSATIONS: (self.turns, self.think_s),
            GAMMA: (self.per_second, self.shape),
        }
        parts = numbers.get(self.kind, (self.per_second,))
        return ":".join([self.kind, *(write_number(float(part)).replace(".", "_") for part in parts)])

    @property
    def is_open(self) -> bool:
        return self.kind in OPEN

    def driven(self, requests: int) -> Load:
        """The load as the client drives it; conversations are all under way at once."""
        if self.kind in (CONCURRENCY, CONVERSATIONS):
            return Load(CONCURRENCY, concurrency=self.at_once or requests // self.turns)
        kind = "fixed" if self.kind == RATE else self.kind
        return Load(kind, per_second=self.per_second, shape=self.shape, path=self.path)
