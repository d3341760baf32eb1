"""Text to token ids and back, by the vocabulary in a model's own file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attnlab.bench.errors import ModelError, UsageError
from attnlab.bench.llm.models.chat import ChatTemplate


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A vocabulary with its merges; special tokens are recognised in a text by their names."""

    backend: Any
    """A `tokenizers.Tokenizer`."""
    vocab_size: int
    bos_id: int | None
    eos_ids: tuple[int, ...]
    chat: ChatTemplate | None
    """How a conversation is written down; None where the model's file does not say."""

    @cached_property
    def special(self) -> Mapping[str, int]:
        """Ids of special tokens such as `<|im_end|>`, by name."""
        return {token.content: i for i, token in self.backend.get_added_tokens_decoder().items() if token.special}

    @cached_property
    def _pieces(self) -> Mapping[int, str]:
        """By id; those of the vocabulary's padding are left out, of which a damaged file may say there are millions."""
        return {index: piece for piece, index in self.backend.get_vocab(with_added_tokens=True).items()}

    def encode(self, text: str, plain: bool = False) -> list[int]:
        """Token ids of `text`, none of them added; empty for an empty text.

        plain: the names of special tokens in it are text like any other. A lone surrogate, which is no character, reads
        like U+FFFD.
        """
        whole = characters(text)
        before = self.backend.encode_special_tokens
        self.backend.encode_special_tokens = plain
        try:
            ids: list[int] = self.backend.encode(whole, add_special_tokens=False).ids
        finally:
            self.backend.encode_special_tokens = before
        return ids

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of `ids`; bytes that are no character read as U+FFFD. Raises UsageError for an id out of range."""
        text: str = self.backend.decode([self.checked(index) for index in ids], skip_special_tokens=skip_special)
        return text

    def decode_stream(self, skip_special: bool = True) -> TextStream:
        """Text token by token, for one answer."""
        return TextStream(self, skip_special)

    def checked(self, index: int) -> int:
        if not 0 <= index < self.vocab_size:
            raise UsageError(f"got token id {index}, expected 0 to {self.vocab_size - 1}")
        return index

    def token_bytes(self, index: int) -> bytes:
        """The bytes that a token stands for; none for an id of the vocabulary's padding."""
        piece = self._pieces.get(self.checked(index))
        if piece is None:
            return b""
        if piece in self.special:
            return piece.encode()
        return self.spelling.bytes_of(piece)

    def falls_back(self, index: int) -> bool:
        """Whether a token is a single byte of a character that no piece has."""
        piece = self._pieces.get(self.checked(index))
        return piece is not None and not self.spelling.byte_level and self.spelling.byte_of(piece) is not None

    @cached_property
    def spelling(self) -> Spelling:
        """Raises ModelError where tokens become text in a way that is not known here."""
        return Spelling.of(json.loads(self.backend.to_str())["decoder"])


def characters(text: str) -> str:
    """`text` with U+FFFD for each lone surrogate."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class TextStream:
    """What each further token adds to a text: bytes are held back until they are whole characters.

    The pieces, `finish()` among them, make up what `Tokenizer.decode` gives of all ids together. Bytes that a
    vocabulary without byte-level pieces falls back to are held back until a piece of text follows: as a whole they
    are characters, or each of them is U+FFFD.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skipped = frozenset(tokenizer.special.values()) if skip_special else frozenset[int]()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strips_space = tokenizer.spelling.strips_space
        self._held = b""

    def push(self, index: int) -> str:
        """The characters that token `index` completes, often none or several."""
        content = self._tokenizer.token_bytes(index)
        if index in self._skipped or not content:
            return ""
        if self._tokenizer.falls_back(index):
            self._held += content
            return ""
        return self._first_stripped(self._released() + self._decoder.decode(content))

    def finish(self) -> str:
        """What was held back, a character cut short as U+FFFD."""
        return self._first_stripped(self._released() + self._decoder.decode(b"", final=True))

    def _released(self) -> str:
        held, self._held = self._held, b""
        try:
            return held.decode()
        except UnicodeDecodeError:
            return "\ufffd" * len(held)

    def _first_stripped(self, text: str) -> str:
        if not self._strips_space or not text:
            return text
        self._strips_space = False
        return text.removeprefix(" ")


SPACES = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
BYTES, FUSED = {"type": "ByteFallback"}, {"type": "Fuse"}
FIRST_SPACE = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


@dataclass(frozen=True)
class Spelling:
    """How a vocabulary spells bytes: each as a printable character (GPT-2), or, with `▁` for a space, plainly."""

    byte_level: bool
    byte_fallback: bool = True
    """A character that no piece has is spelled by its bytes, such as `<0xE2>`."""
    strips_space: bool = False
    """The space before a text is taken away again."""

    @classmethod
    def of(cls, decoder: Any) -> Spelling:
        """Of a decoder as `tokenizer.json` describes it."""
        steps = (decoder or {}).get("decoders", [decoder]) if isinstance(decoder, dict) else [decoder]
        if [step.get("type") if isinstance(step, dict) else None for step in steps] == ["ByteLevel"]:
            return cls(byte_level=True)
        known = [[SPACES, *bytes_, FUSED, *strip] for bytes_ in ([], [BYTES]) for strip in ([], [FIRST_SPACE])]
        if steps not in known:
            raise ModelError(
                f"got a decoder {str(decoder)[:200]}, expected ByteLevel, or Replace of ▁ by a space, ByteFallback, "
                "Fuse and Strip of one space"
            )
        return cls(byte_level=False, byte_fallback=BYTES in steps, strips_space=FIRST_SPACE in steps)

    @cached_property
    def _byte_of(self) -> Mapping[str, int]:
        """GPT-2's table: bytes that print stand for themselves, the others for the characters from 256 on."""
        printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [byte for byte in range(256) if byte not in printed]
        return {chr(byte): byte for byte in printed} | {chr(256 + i): byte for i, byte in enumerate(others)}

    def bytes_of(self, piece: str) -> bytes:
        if self.byte_level:
            table = self._byte_of
            return bytes(table[c] for c in piece) if all(c in table for c in piece) else piece.encode()
        byte = self.byte_of(piece)
        return piece.replace("▁", " ").encode() if byte is None else byte

    def byte_of(self, piece: str) -> bytes | None:
        """The byte that a piece such as `<0x0A>` falls back to; None for a piece of text."""
        spelled = self.byte_fallback and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
        try:
            return bytes([int(piece[3:5], 16)]) if spelled else None
        except ValueError:
            return None
