"""Sentences made of text and names, so that each format marks names its own way and escapes both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TextRun:
    """A run of text; a name is an implementation, a case or an operator, and may come from a plugin."""

    text: str
    is_name: bool = False


Sentence = tuple[TextRun, ...]


def name(text: str) -> TextRun:
    return TextRun(text, is_name=True)


def sentence(*parts: str | TextRun | Iterable[TextRun]) -> Sentence:
    """Parts in a row; text that follows text is joined."""
    flat: list[TextRun] = []
    for part in parts:
        pieces = [TextRun(part)] if isinstance(part, str) else [part] if isinstance(part, TextRun) else part
        for piece in pieces:
            if flat and not piece.is_name and not flat[-1].is_name:
                flat[-1] = TextRun(flat[-1].text + piece.text)
            elif piece.text:
                flat.append(piece)
    return tuple(flat)


def plain(pieces: Sentence) -> str:
    return "".join(piece.text for piece in pieces)


def enumerated(parts: Sequence[Iterable[TextRun] | TextRun], last: str = " and ", between: str = ", ") -> list[TextRun]:
    """`a, b and c`."""
    found: list[TextRun] = []
    for position, part in enumerate(parts):
        if position:
            found.append(TextRun(last if position == len(parts) - 1 else between))
        found += [part] if isinstance(part, TextRun) else part
    return found


def names(texts: Iterable[str], last: str = " and ") -> list[TextRun]:
    return enumerated([name(text) for text in texts], last)


def known(text: str, value: float | None, form: Callable[[float], str]) -> list[str]:
    """The text with the value in place of `{}`; [] where there is none, for a sentence never has a missing value."""
    return [] if value is None else [text.format(form(value))]


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def from_to(texts: Sequence[str]) -> str:
    """`a to b`, or `a` where both ends read alike."""
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
