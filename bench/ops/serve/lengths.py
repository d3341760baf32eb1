"""Lengths of prompts and answers in tokens: all alike, drawn from a distribution, or those of a trace."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from typing import Any

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.sampling_params import write_number

FIXED, UNIFORM, LOGNORMAL, TRACE = "fixed", "uniform", "lognormal", "trace"
PATTERN = r"\d+|uniform:\d+:\d+|lognormal:\d+:\d+(?:_\d+)?:\d+|trace"
LARGEST = 2**24
EXPECTED = "64, uniform:32:128, lognormal:64:0.5:512 (median, sigma, most) or trace"


@dataclass(frozen=True)
class Lengths:
    """kind: of `FIXED` (all of `most`), `UNIFORM` (whole numbers from `least` to `most`, each as likely), `LOGNORMAL`
    (of a median and the standard deviation of the logarithm, at most `most`) or `TRACE` (those of the trace of the
    case's load, at most `most`, which is 0 until the trace is read).
    """

    kind: str
    most: int
    least: int = 1
    median: int = 0
    sigma: float = 0.0

    @classmethod
    def read(cls, value: Any) -> Lengths:
        """From `64`, `uniform:32:128`, `lognormal:64:0_5:512` (or `0.5`) or `trace`; raises ImpossibleCase."""
        if isinstance(value, Lengths):
            return value
        text = "" if isinstance(value, (bool, float)) else str(value)
        if text == TRACE:
            return cls(TRACE, 0)
        if re.fullmatch(r"\d+", text):
            return cls(FIXED, _length(text), _length(text))
        if found := re.fullmatch(r"uniform:(\d+):(\d+)", text):
            least, most = _length(found[1]), _length(found[2])
            if least > most:
                raise ImpossibleCase(f"got {text!r}; expected uniform:LEAST:MOST with LEAST no more than MOST")
            return cls(UNIFORM, most, least)
        if found := re.fullmatch(r"lognormal:(\d+):(\d+(?:[._]\d+)?):(\d+)", text):
            median, sigma, most = _length(found[1]), float(found[2].replace("_", ".")), _length(found[3])
            if median > most or not sigma:
                raise ImpossibleCase(f"got {text!r}; expected a sigma above 0, and a median no more than the most")
            return cls(LOGNORMAL, most, 1, median, sigma)
        raise ImpossibleCase(f"got {value!r}; expected {EXPECTED}")

    def write(self) -> str:
        if self.kind == FIXED:
            return str(self.most)
        if self.kind == UNIFORM:
            return f"uniform:{self.least}:{self.most}"
        if self.kind == LOGNORMAL:
            return f"lognormal:{self.median}:{write_number(self.sigma)}:{self.most}".replace(".", "_")
        return TRACE

    def draw(self, count: int, seed: int, least: int = 1) -> tuple[int, ...]:
        """`count` lengths, each at least `least`; the same for one seed. Those of a trace are read with it."""
        if self.kind == FIXED:
            return (max(self.most, least),) * count
        source = random.Random(f"{self.write()} {seed}")
        if self.kind == UNIFORM:
            drawn = [source.randint(self.least, self.most) for _ in range(count)]
        else:
            drawn = [round(source.lognormvariate(math.log(self.median), self.sigma)) for _ in range(count)]
        return tuple(min(self.most, max(least, length)) for length in drawn)


def _length(text: str) -> int:
    number = int(text)
    if not 1 <= number <= LARGEST:
        raise ImpossibleCase(f"got {number}; expected 1 to {LARGEST} tokens")
    return number
