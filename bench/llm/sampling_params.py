"""How the next token is drawn: temperature, truncations and repetition penalty, with a short spelling for ids."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Self

from attnlab.bench.errors import SamplingError

LETTERS = {"t": "temperature", "k": "top_k", "p": "top_p", "m": "min_p", "r": "repetition_penalty"}
NUMBER = r"\d+(?:[.:]\d+)?"  # in an id a colon is a dot, and what is read back has colons alone
PATTERN = rf"[{''.join(LETTERS)}]{NUMBER}(?:[.:][{''.join(LETTERS)}]{NUMBER})*"


@dataclass(frozen=True)
class SamplingParams:
    """What becomes of logits before a token is drawn; the steps in this order, as Hugging Face has them.

    repetition_penalty: logits of tokens seen before are divided by it where positive, else multiplied (CTRL,
    arXiv:1909.05858). temperature: logits are divided by it; 0 is greedy, the first of the largest. top_k: those at
    least as large as the k-th largest, so that its ties all stay. top_p: the smallest set, by falling probability,
    that holds at least this mass, ties of its last token with it (arXiv:1904.09751). min_p: those at least so many
    times as probable as the most probable (arXiv:2407.01082). Raises SamplingError, which names the field.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        k = self.top_k
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k <= 0):
            raise SamplingError(f"got top_k={k!r}; expected a whole number of at least 1, or None for no limit")
        _expect(self, "temperature", self.temperature >= 0, "0, which is greedy, or a number above it")
        _expect(self, "top_p", 0 < self.top_p <= 1, "a number above 0 and at most 1, which is no limit")
        _expect(self, "min_p", 0 <= self.min_p < 1, "a number from 0, which is no limit, to below 1")
        _expect(self, "repetition_penalty", self.repetition_penalty > 0, "a number above 0; 1 is no penalty")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    @property
    def penalises(self) -> bool:
        return self.repetition_penalty != 1

    @property
    def truncates(self) -> bool:
        """Whether some tokens may be cut off; nothing is left to cut from a greedy choice."""
        return not self.greedy and (self.top_k is not None or self.top_p < 1 or self.min_p > 0)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parameters that `t0.8:k50:p0.95` stands for; dots and colons read alike, as ids need it.

        t temperature, k top_k, p top_p, m min_p, r repetition_penalty; what is left out is at its default.
        """
        if not re.fullmatch(PATTERN, text):
            raise SamplingError(f"got {text!r}; expected letters {_known()} with numbers, such as t0.8:k50:p0.95")
        given: dict[str, Any] = {}
        for letter, number in re.findall(rf"([a-z])({NUMBER})", text):
            name = LETTERS[letter]
            if name in given:
                raise SamplingError(f"got {text!r}, which gives {name} twice; expected it once")
            given[name] = read_number(name, number)
        return cls(**given)

    def __str__(self) -> str:
        """The short spelling, which `parse` reads back: temperature first, then what is not at its default."""
        shown = ["t" + write_number(self.temperature)]
        for letter, name in list(LETTERS.items())[1:]:
            if getattr(self, name) != DEFAULTS[name]:
                shown.append(letter + write_number(getattr(self, name)))
        return ":".join(shown)


def _expect(params: SamplingParams, name: str, fits: bool, expected: str) -> None:
    value = getattr(params, name)
    if not fits or not math.isfinite(value):
        raise SamplingError(f"got {name}={value!r}; expected {expected}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SamplingError(f"got {name}={value!r}; expected a number")
    return float(value)


def read_number(name: str, text: str) -> int | float:
    """A number of the field as it is spelled in a case or an id."""
    number = text.replace(":", ".")
    if not re.fullmatch(r"\d+(\.\d+)?", number) or (name == "top_k" and "." in number):
        raise SamplingError(f"got {name}={text!r}; expected a {'whole number' if name == 'top_k' else 'number'}")
    return int(number) if name == "top_k" else float(number)


def write_number(value: float) -> str:
    """The shortest decimals that read back to the same number, without an exponent: its sign would part an id."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _known() -> str:
    return ", ".join(f"{letter} ({name})" for letter, name in LETTERS.items())


DEFAULTS = {f.name: f.default for f in fields(SamplingParams)}
