"""Text to token ids and back by a SentencePiece vocabulary, through the package sentencepiece."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from attnlab.bench.llm.models.tokenizer import TextStream, Tokenizer, characters

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SPACE = "▁"


def _one_by_one(error: UnicodeError) -> tuple[str, int]:
    """U+FFFD for each byte of what is no character, as sentencepiece does."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("attnlab.one_by_one", _one_by_one)


@dataclass(frozen=True)
class NamedToken:
    """A token that is found in a text by its name, before the pieces."""

    name: str
    special: bool
    """Whether it is text like any other where text is plain."""
    strips_left: bool = False
    """Whether spaces before it are its own."""
    strips_right: bool = False


@dataclass(frozen=True, eq=False)
class Pieces:
    """A SentencePiece model, and tokens that are named beside it."""

    processor: SentencePieceProcessor
    named: Mapping[int, NamedToken]
    """By id; special ones of the model itself among them."""
    unprefixed: SentencePieceProcessor | None
    """For text after a special token, where no space is put before that; None where it is as elsewhere."""
    prefixes: bool
    """Whether a space is put before a text, which is taken away again from what is decoded."""
    collapses: bool
    """Whether spaces at a text's beginning and end are removed."""

    @cached_property
    def texts(self) -> list[str]:
        """By id."""
        return [self.processor.id_to_piece(index) for index in range(self.processor.get_piece_size())]

    def byte_of(self, index: int) -> bytes | None:
        """The byte that a piece such as `<0x0A>` falls back to; None for a piece of text."""
        known = index < len(self.texts) and index not in self.named and self.processor.is_byte(index)
        return bytes([int(self.texts[index][3:5], 16)]) if known else None


@dataclass(frozen=True, eq=False)
class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece vocabulary; backend: `Pieces`."""

    backend: Pieces

    @cached_property
    def special(self) -> Mapping[str, int]:
        """Ids of special tokens such as `</s>`, by name."""
        return {token.name: index for index, token in self.backend.named.items() if token.special}

    def encode(self, text: str, plain: bool = False) -> list[int]:
        """Token ids of `text`, none of them added; empty for an empty text.

        plain: the names of special tokens in it are text like any other. A lone surrogate, which is no character, reads
        like U+FFFD. Text after a special token is encoded by itself.
        """
        ids: list[int] = []
        begins = True
        for part in self._parts(characters(text), plain):
            if isinstance(part, int):
                ids.append(part)
            else:
                later = None if begins else self.backend.unprefixed
                ids += (self.backend.processor if later is None else later).encode(part)
            begins = False
        return ids

    def _parts(self, text: str, plain: bool) -> Iterable[str | int]:
        """Named tokens, the longest first, and what stands between; nothing that is empty."""
        pattern = self._plain_names if plain else self._names
        start = 0
        for found in pattern.finditer(text) if pattern else ():
            index = int(str(found.lastgroup).removeprefix("token"))
            if found.start() > start:
                yield text[start : found.start()]
            yield index
            start = found.end()
        if start < len(text):
            yield text[start:]

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        return _pattern(self.backend.named)

    @cached_property
    def _plain_names(self) -> re.Pattern[str] | None:
        return _pattern({index: token for index, token in self.backend.named.items() if not token.special})

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of `ids`; bytes that are no character read as U+FFFD. Raises UsageError for an id out of range."""
        stream = self.decode_stream(skip_special)
        return "".join([*map(stream.push, ids), stream.finish()])

    def decode_stream(self, skip_special: bool = True) -> PieceStream:
        """Text token by token, for one answer."""
        return PieceStream(self, skip_special)

    def token_bytes(self, index: int) -> bytes:
        """The bytes that a token stands for; none for an id of the vocabulary's padding."""
        named, byte = self.backend.named.get(self.checked(index)), self.backend.byte_of(index)
        if named is not None or byte is not None:
            return named.name.encode() if named is not None else byte or b""
        texts = self.backend.texts
        return texts[index].replace(SPACE, " ").encode() if index < len(texts) else b""

    def falls_back(self, index: int) -> bool:
        """Whether a token is a single byte of a character that no piece has."""
        return self.backend.byte_of(self.checked(index)) is not None


class PieceStream(TextStream):
    """What each further token adds to a text, as sentencepiece decodes: bytes are held back until they are characters.

    The space that was put before a text is left out again, before text that follows a special token, too, where that
    one is shown and the space was put there.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, skip_special: bool) -> None:
        self._checked, self._pieces = tokenizer.checked, tokenizer.backend
        self._skips = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("attnlab.one_by_one")
        self._begins = True
        self._bare = False  # whether the piece before was no more than the space

    def push(self, index: int) -> str:
        """The characters that token `index` completes, often none or several."""
        pieces = self._pieces
        byte = pieces.byte_of(self._checked(index))
        if byte is not None:
            text = self._decoder.decode(byte)
            self._begins &= not text
            return text
        held = self.finish()
        if held or self._bare:
            self._begins = False
        self._bare = False
        named = pieces.named.get(index)
        if named is not None and named.special and self._skips:
            return held
        if named is not None:
            self._begins = pieces.unprefixed is None
            return held + (named.name if named.special else named.name.replace(SPACE, " "))
        text = self._text(pieces.texts[index]) if index < len(pieces.texts) else ""
        return held + text

    def _text(self, piece: str) -> str:
        begins, strips = self._begins, self._pieces.prefixes or self._pieces.collapses
        if begins and strips and piece.startswith(SPACE):
            piece = piece.removeprefix(SPACE)
            self._bare = not self._pieces.collapses
        self._begins &= not piece
        return piece.replace(SPACE, " ")

    def finish(self) -> str:
        """What was held back, each byte of a character cut short as U+FFFD."""
        held = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return held


def _pattern(tokens: Mapping[int, NamedToken]) -> re.Pattern[str] | None:
    """Finds names, at one place the longest; the group that matches is `token` and the id."""
    longest_first = sorted(tokens.items(), key=lambda item: -len(item[1].name))
    found = (
        r"\s*" * token.strips_left + f"(?P<token{index}>{re.escape(token.name)})" + r"\s*" * token.strips_right
        for index, token in longest_first
    )
    whole = "|".join(found)
    return re.compile(whole) if whole else None
