"""How tokens are chosen: greedily, by sampling, with guesses that the model judges, or by beams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attnlab.bench.errors import ImpossibleCase, UsageError
from attnlab.bench.llm.generation.synthetic import FORM, SyntheticGuesses
from attnlab.bench.llm.sampling_params import SamplingParams

PLAIN = ("greedy", "sample")
SYNTHETIC = "synthetic"
SPECULATIVE = ("prompt_lookup", "draft_model", SYNTHETIC)
BEAM = "beam"
DEFAULT_GUESSES = 4
DEFAULT_BEAMS = 4
MOST_GUESSES = 63  # a verify pass has one token more, and attention over a cache takes 64
PATTERN = rf"(?:{'|'.join((*PLAIN, *SPECULATIVE, BEAM))})(?::\w+)*"


@dataclass(frozen=True)
class Decoding:
    """method: one of the above. number: guesses a pass, or beams; None where neither. params: the distribution.

    `greedy` is the temperature 0, and so is a speculative method unless it has parameters of its own. synthetic: how
    guesses come out that no drafter makes; None of all other methods.
    """

    method: str
    number: int | None
    params: SamplingParams
    synthetic: SyntheticGuesses | None = None

    @classmethod
    def read(cls, value: Any) -> Decoding:
        """From `greedy`, `sample:t0.8:p0.95`, `prompt_lookup:4`, `draft_model:3:t1`, `synthetic:4:a0.8` or `beam:4`.

        Raises ImpossibleCase.
        """
        if isinstance(value, Decoding):
            return value
        method, *parts = str(value).split(":")
        if method not in (*PLAIN, *SPECULATIVE, BEAM):
            raise ImpossibleCase(f"got decoding {value!r}; expected one of {', '.join((*PLAIN, *SPECULATIVE, BEAM))}")
        number: int | None = None
        if method in (*SPECULATIVE, BEAM):
            number = DEFAULT_BEAMS if method == BEAM else DEFAULT_GUESSES
            if parts and parts[0].isdigit():
                number = int(parts.pop(0))
            if not 1 <= number <= MOST_GUESSES:
                raise ImpossibleCase(f"got {number} in decoding {value!r}; expected 1 to {MOST_GUESSES}")
        if method == SYNTHETIC:
            if number is None or not parts:
                raise ImpossibleCase(f"got decoding {value!r}, without a chance to be right; expected {FORM}")
            return cls(method, number, _default(method), SyntheticGuesses.parse(parts, number))
        if parts and method in ("greedy", BEAM):
            raise ImpossibleCase(f"got decoding {value!r}; expected {method} without {':'.join(parts)}")
        try:
            params = SamplingParams.parse(":".join(parts)) if parts else _default(method)
        except UsageError as error:
            raise ImpossibleCase(f"decoding {value!r}: {error}") from None
        return cls(method, number, params)

    def write(self) -> str:
        parts = [self.method]
        if self.number is not None:
            parts.append(str(self.number))
        if self.synthetic is not None:
            parts.append(str(self.synthetic))
        if self.params != _default(self.method):
            parts.append(str(self.params))
        return ":".join(parts)

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is taken each time."""
        return self.method != BEAM and self.params.temperature == 0

    @property
    def speculative(self) -> bool:
        return self.method in SPECULATIVE

    @property
    def guesses(self) -> int:
        """Tokens that are guessed ahead of each pass; 0 of plain methods."""
        return (self.number or 0) if self.speculative else 0


def is_synthetic(decoding: object) -> bool:
    """Whether a way of decoding, as a stored case has it, guesses without a drafter: no result of it is ranked."""
    return str(decoding).split(":")[0] == SYNTHETIC


def _default(method: str) -> SamplingParams:
    return SamplingParams() if method == "sample" else SamplingParams(temperature=0.0)
