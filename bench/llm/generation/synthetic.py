"""What a drafter without a model is told: how often its guesses are right, place by place, and what one costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.sampling_params import NUMBER, write_number

PART = rf"[ac]{NUMBER}"
FORM = "synthetic:GUESSES:aCHANCE, an a for each guess where they differ, and :cCOST, such as synthetic:4:a0.8:c0.1"
NOTE = "its guesses are synthetic, right as often as was chosen: it says what such guesses are worth, of no drafter"


@dataclass(frozen=True)
class SyntheticGuesses:
    """chances: that the first, second, … guess of a pass is right where all before it are. cost: of one guess, in plain
    passes of the model; the draft waits for so long.
    """

    chances: tuple[float, ...]
    cost: float = 0.0

    @classmethod
    def parse(cls, parts: list[str], guesses: int) -> Self:
        """From `a0.8`, or an `a` for each guess, and `c0.1`; dots and colons read alike. Raises ImpossibleCase."""
        text = ":".join(parts)
        if not re.fullmatch(rf"{PART}(?:[.:]{PART})*", text):
            raise ImpossibleCase(f"got {text or 'no chance'!r} for synthetic guesses; expected {FORM}")
        given = [(letter, float(number.replace(":", "."))) for letter, number in re.findall(rf"([ac])({NUMBER})", text)]
        chances, costs = ([value for letter, value in given if letter == wanted] for wanted in "ac")
        if len(costs) > 1:
            raise ImpossibleCase(f"got {len(costs)} costs in {text!r}; expected one, that of a guess")
        if len(chances) not in (1, guesses):
            raise ImpossibleCase(
                f"got {len(chances)} chances in {text!r} for {guesses} guesses; expected one for all, or one for each"
            )
        for chance in chances:
            if chance > 1:
                raise ImpossibleCase(f"got the chance {chance:g} in {text!r}; expected 0 to 1")
        return cls(tuple(chances * guesses) if len(chances) == 1 else tuple(chances), *costs)

    def __str__(self) -> str:
        """The short spelling, which `parse` reads back."""
        alike = len(set(self.chances)) == 1
        parts = [f"a{write_number(chance)}" for chance in (self.chances[:1] if alike else self.chances)]
        return ":".join([*parts, *([f"c{write_number(self.cost)}"] if self.cost else [])])
