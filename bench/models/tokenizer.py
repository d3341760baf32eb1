"""Text to token ids and back, by the byte-pair vocabulary in a model's own file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import ModelError, ModelUnavailable, Unavailable, UsageError
from attnlab.bench.models.chat import ChatTemplate
from attnlab.bench.models.sources import resolve

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A vocabulary with its merges; special tokens are recognised in a text by their names."""

    backend: Backend
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
    def _pieces(self) -> Sequence[str | None]:
        return [self.backend.id_to_token(index) for index in range(self.vocab_size)]

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, none of them added; empty for an empty text.

        A lone surrogate, which is no character, reads like U+FFFD.
        """
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        ids: list[int] = self.backend.encode(whole, add_special_tokens=False).ids
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
        piece = self._pieces[self.checked(index)]
        if piece is None:
            return b""
        if piece in self.special:
            return piece.encode()
        return self._spelling.bytes_of(piece)

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling(byte_level="ByteLevel" in json.dumps(json.loads(self.backend.to_str())["decoder"]))


class TextStream:
    """What each further token adds to a text: bytes are held back until they are whole characters.

    The pieces, `finish()` among them, make up what `Tokenizer.decode` gives of all ids together.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skipped = frozenset(tokenizer.special.values()) if skip_special else frozenset[int]()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strips_space = not tokenizer._spelling.byte_level

    def push(self, index: int) -> str:
        """The characters that token `index` completes, often none or several."""
        content = self._tokenizer.token_bytes(index)
        return "" if index in self._skipped else self._first_stripped(self._decoder.decode(content))

    def finish(self) -> str:
        """What was held back, a character cut short as U+FFFD."""
        return self._decoder.decode(b"", final=True)

    def _first_stripped(self, text: str) -> str:
        if not self._strips_space or not text:
            return text
        self._strips_space = False
        return text.removeprefix(" ")


@dataclass(frozen=True)
class Spelling:
    """How a vocabulary spells bytes: each as a printable character (GPT-2), or, with `▁` for a space, plainly."""

    byte_level: bool

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
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return piece.replace("▁", " ").encode()


def load_tokenizer(name_or_path: str) -> Tokenizer:
    """The tokenizer of a model with files: `smollm2_135m`, a .gguf file or a Hugging Face folder.

    Raises ModelUnavailable for a published name without files and where a package is not installed, ModelError
    for a vocabulary of another kind or a folder without `tokenizer.json`.
    """
    if find_spec("tokenizers") is None:
        raise Unavailable("not installed: tokenizers; mend with: pip install 'attnlab[generate]'")
    source = resolve(name_or_path)
    if source.path is None:
        raise ModelUnavailable(f"{source.name} has random weights and no tokenizer; take random prompts, or a path")
    if source.kind == "gguf":
        return gguf_tokenizer(source.path)
    return folder_tokenizer(source.path)


def gguf_tokenizer(path: Path) -> Tokenizer:
    """Built from the vocabulary, the merges and the chat template in a GGUF file."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend
    from tokenizers.decoders import ByteLevel
    from tokenizers.models import BPE

    from attnlab.bench.models.gguf_file import GgufFile
    from attnlab.bench.models.gguf_model import end_ids, optional_id

    file = GgufFile(path)
    kind = file.field("tokenizer.ggml.model")
    if kind != "gpt2":
        raise ModelError(f"{path}: got a vocabulary of kind {kind!r}, expected 'gpt2', byte-level byte pairs")
    tokens = file.array("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in file.array("tokenizer.ggml.merges")]
    split = str(file.field("tokenizer.ggml.pre", "default"))
    model = BPE(
        vocab={token: index for index, token in enumerate(tokens)}, merges=merges, ignore_merges=split in LLAMA_3
    )
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizer(split, path)
    backend.decoder = ByteLevel()
    types = file.array("tokenizer.ggml.token_type")
    for wanted, special in ((CONTROL, True), (USER_DEFINED, False)):
        found = [token for token, kind in zip(tokens, types, strict=True) if kind == wanted]
        backend.add_tokens([AddedToken(token, special=special, normalized=False) for token in found])
    bos_id, eos = optional_id(file, "tokenizer.ggml.bos_token_id"), end_ids(file)
    template = file.header.fields.get("tokenizer.chat_template")
    names = {
        key: tokens[index]
        for key, index in (("bos_token", bos_id), ("eos_token", eos[0] if eos else None))
        if index is not None
    }
    return Tokenizer(
        backend=backend,
        vocab_size=len(tokens),
        bos_id=bos_id,
        eos_ids=eos,
        chat=ChatTemplate(template, names) if isinstance(template, str) else None,
    )


CONTROL, USER_DEFINED = 3, 4
"""Types of tokens in GGUF files."""

LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")
LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pre_tokenizer(split: str, path: Path) -> Any:
    """What cuts a text into pieces before the merges, by its name in `tokenizer.ggml.pre`."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

    if split in ("default", "gpt-2"):
        return ByteLevel(add_prefix_space=False)
    if split == "smollm":  # each digit by itself
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    if split in LLAMA_3:
        pieces = Split(Regex(LLAMA_3_SPLIT), "isolated")
        return Sequence([pieces, ByteLevel(add_prefix_space=False, use_regex=False)])
    known = ", ".join(("default", "gpt-2", "smollm", *LLAMA_3))
    raise ModelError(f"{path}: got tokenizer.ggml.pre {split!r}, expected one of {known}")


def folder_tokenizer(folder: Path) -> Tokenizer:
    """From `tokenizer.json`, `tokenizer_config.json` and `config.json` of a Hugging Face folder."""
    from tokenizers import Tokenizer as Backend

    from attnlab.bench.models.huggingface import CONFIG_FILE, end_ids, read_json

    path = folder / "tokenizer.json"
    read_json(path)
    try:
        backend = Backend.from_file(str(path))
    except Exception as error:  # the package raises no other
        raise ModelError(f"{path} is no tokenizer: {error}") from error
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    names = {key: token_name(settings.get(key)) for key in ("bos_token", "eos_token")}
    fields = read_json(folder / CONFIG_FILE)
    return Tokenizer(
        backend=backend,
        vocab_size=max(backend.get_vocab_size(), int(fields.get("vocab_size", 0))),
        bos_id=fields.get("bos_token_id"),
        eos_ids=end_ids(folder, fields),
        chat=folder_template(folder, settings, {key: name for key, name in names.items() if name is not None}),
    )


def token_name(value: Any) -> str | None:
    """A special token's text, which newer files give as an object."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def folder_template(folder: Path, settings: Mapping[str, Any], names: Mapping[str, str]) -> ChatTemplate | None:
    """The template in a file of its own, or among the settings."""
    own = folder / "chat_template.jinja"
    text = own.read_text(encoding="utf-8") if own.is_file() else settings.get("chat_template")
    if isinstance(text, list):  # several, by name
        text = next((entry.get("template") for entry in text if entry.get("name") == "default"), None)
    return ChatTemplate(text, names) if isinstance(text, str) else None
