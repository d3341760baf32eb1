"""Sentences made of text and names, so that each format marks names its own way and escapes both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """A run of text; a name is an implementation, a case or an operator, and may come from a plugin."""

    text: str
    is_name: bool = False


Sentence = tuple[Piece, ...]


def name(text: str) -> Piece:
    return Piece(text, is_name=True)


def sentence(*parts: str | Piece | Iterable[Piece]) -> Sentence:
    """Parts in a row; text that follows text is joined."""
    flat: list[Piece] = []
    for part in parts:
        pieces = [Piece(part)] if isinstance(part, str) else [part] if isinstance(part, Piece) else part
        for piece in pieces:
            if flat and not piece.is_name and not flat[-1].is_name:
                flat[-1] = Piece(flat[-1].text + piece.text)
            elif piece.text:
                flat.append(piece)
    return tuple(flat)


def plain(pieces: Sentence) -> str:
    return "".join(piece.text for piece in pieces)


def enumerated(parts: Sequence[Iterable[Piece] | Piece], last: str = " and ", between: str = ", ") -> list[Piece]:
    """`a, b and c`."""
    found: list[Piece] = []
    for position, part in enumerate(parts):
        if position:
            found.append(Piece(last if position == len(parts) - 1 else between))
        found += [part] if isinstance(part, Piece) else part
    return found


def names(texts: Iterable[str], last: str = " and ") -> list[Piece]:
    return enumerated([name(text) for text in texts], last)


def from_to(texts: Sequence[str]) -> str:
    """`a to b`, or `a` where both ends read alike."""
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
