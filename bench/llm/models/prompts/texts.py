"""The sets of texts: what the model is asked to do, and the documents to do it with."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

DATA = Path(__file__).with_name("data")
SENTENCE = re.compile(r"(?:^|(?<=[.?!]\s)|(?<=\n))(?=\w)", re.MULTILINE)
LINE = re.compile(r"^(?=\S)", re.MULTILINE)
WORD = re.compile(r"(?<=\s)(?=\w)")
WRAPPED = re.compile(r"(?<=\S)\n(?=\S)")


@dataclass(frozen=True)
class PromptSet:
    """Texts of one kind, `data/<name>-<item>.txt`, under an instruction or several that take turns."""

    name: str
    instructions: tuple[str, ...]
    is_prose: bool = True
    """Line breaks within a paragraph are the file's alone."""

    @cached_property
    def items(self) -> tuple[str, ...]:
        texts = (path.read_text(encoding="utf-8").strip() for path in sorted(DATA.glob(f"{self.name}-*.txt")))
        return tuple(WRAPPED.sub(" ", text) if self.is_prose else text for text in texts)

    @cached_property
    def starts(self) -> tuple[tuple[int, int], ...]:
        """Item and character where a document may begin, in a fixed order: sentences or lines, then words."""
        large, small = (list(dict.fromkeys(self._places(pattern))) for pattern in (self._unit, WORD))
        small = sorted(set(small) - set(large))
        shuffle = random.Random(self.name).shuffle
        shuffle(large)
        shuffle(small)
        return (*large, *small)

    @property
    def _unit(self) -> re.Pattern[str]:
        return SENTENCE if self.is_prose else LINE

    def _places(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        for item, text in enumerate(self.items):
            yield from ((item, match.start()) for match in pattern.finditer(text))

    def document(self, number: int, characters: int) -> str:
        """At least so many characters, from the start of that number on, through one item after another."""
        item, offset = self.starts[number % len(self.starts)]
        parts, length = [self.items[item][offset:]], len(self.items[item]) - offset
        while length < characters:
            item = (item + 1) % len(self.items)
            parts.append(self.items[item])
            length += len(self.items[item])
        return "\n\n".join(parts)


SETS = {
    texts.name: texts
    for texts in (
        PromptSet("summarise", ("Quote the five most important sentences of the text below, word for word.",)),
        PromptSet(
            "code",
            ("Complete the program below.", "Explain the program below, and repeat each part before you explain it."),
            is_prose=False,
        ),
        PromptSet("chat", ("Please answer my questions.",)),
        PromptSet(
            "translate",
            ("Translate the sentences below into French.", "Translate the sentences below into German."),
            is_prose=False,
        ),
    )
}
