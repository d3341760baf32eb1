"""SentencePiece vocabularies as the files of models hold them: `tokenizer.model` in a folder, or a GGUF file's own.

Model and normaliser are messages of protocol buffers, as `sentencepiece_model.proto` of the package says. A message
that follows another overrides its fields.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import ModelError, Unavailable
from attnlab.bench.llm.models.folder_config import optional_json
from attnlab.bench.llm.models.gguf_file import GgufFile
from attnlab.bench.llm.models.sentence_pieces import NamedToken, Pieces

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

MODEL_FILE = "tokenizer.model"
USER_DEFINED, BYTE = 4, 6
"""Types of pieces, the same in GGUF files."""

BYTE_PAIRS = 2
"""The kind of model that merges pairs by their scores."""


def of_folder(folder: Path, settings: Mapping[str, Any]) -> Pieces:
    """From `tokenizer.model`, with tokens of `tokenizer_config.json`, read as `settings`, and `added_tokens.json`.

    As transformers' LlamaTokenizer: `legacy` puts a space before text after each special token, too, and
    `add_prefix_space` says whether there is any.
    """
    path = folder / MODEL_FILE
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    backend = processor(model, path)
    prefixes, collapses = flags(backend)
    asked = boolean(settings, "add_prefix_space", prefixes, folder)
    if asked != prefixes:
        model, prefixes = model + normaliser(prefixes=asked), asked
        backend = processor(model, path)
    legacy = boolean(settings, "legacy", False, folder)
    unprefixed = processor(model + normaliser(prefixes=False), path) if prefixes and not legacy else None
    own = symbols(backend)
    added = {index: token for index, token in added_tokens(folder, settings) if token.special or token.name not in own}
    return Pieces(backend, named(backend, added, path), unprefixed, prefixes, collapses)


def of_gguf(file: GgufFile, tokens: list[str]) -> Pieces:
    """From the pieces, scores and types in a GGUF file, which llama.cpp merges by score (`llm_tokenizer_spm`).

    As there, a space stands before text after each special token, too, and a token without a name has one. What the
    normaliser of the vocabulary does besides is computed where a field says so.
    """
    scores, types = (file.array(f"tokenizer.ggml.{key}") for key in ("scores", "token_type"))
    for key, values in (("scores", scores), ("types", types)):
        if len(values) != len(tokens):
            raise ModelError(f"{file.path}: got {len(values)} {key} for {len(tokens)} tokens, expected one for each")
    prefixes = gguf_flag(file, "tokenizer.ggml.add_space_prefix", True)
    collapses = gguf_flag(file, "tokenizer.ggml.remove_extra_whitespaces", False)
    rules = b""
    if "tokenizer.ggml.precompiled_charsmap" in file.header.fields:
        rules = b"".join((int(byte) % 256).to_bytes() for byte in file.array("tokenizer.ggml.precompiled_charsmap"))
    texts = [text or f"[EMPTY_{index}]" for index, text in enumerate(tokens)]
    pieces = (piece(*each, file.path) for each in zip(texts, scores, types, strict=True))
    model = b"".join(pieces) + trainer(BYTE in types) + normaliser(prefixes, collapses, rules)
    backend = processor(model, file.path)
    return Pieces(backend, named(backend, {}, file.path), None, prefixes, collapses)


def gguf_flag(file: GgufFile, key: str, default: bool) -> bool:
    value = file.field(key, default)
    if not isinstance(value, bool):
        raise ModelError(f"{file.path}: got {value!r} for {key}, expected true or false")
    return value


def boolean(settings: Mapping[str, Any], key: str, default: bool, folder: Path) -> bool:
    value = settings.get(key)
    if value is not None and not isinstance(value, bool):
        raise ModelError(f"{folder}: got {str(value)[:60]!r} for {key}, expected true or false")
    return default if value is None else value


def processor(model: bytes, path: Path) -> SentencePieceProcessor:
    """Raises ModelError where `model` is none, and Unavailable where the package is missing."""
    if find_spec("sentencepiece") is None:
        raise Unavailable("not installed: sentencepiece; mend with: pip install 'attnlab[generate]'")
    from sentencepiece import SentencePieceProcessor

    try:
        made = SentencePieceProcessor(model_proto=model)
        pieces = [made.id_to_piece(index) for index in range(made.get_piece_size())]
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelError(f"{path} has no SentencePiece vocabulary: {str(error).strip()[:200]}") from error
    if not pieces:
        raise ModelError(f"{path} has no SentencePiece vocabulary: it is empty")
    return made


def named(backend: SentencePieceProcessor, added: Mapping[int, NamedToken], place: Path) -> dict[int, NamedToken]:
    """Control symbols of the model itself, the unknown, and what is added, by id."""
    own = {
        index: NamedToken(backend.id_to_piece(index), special=True)
        for index in range(backend.get_piece_size())
        if backend.is_control(index) or backend.is_unknown(index)
    }
    ids: dict[str, int] = {}
    for index, token in (whole := own | dict(added)).items():
        if token.name in ids:
            raise ModelError(f"{place}: tokens {ids[token.name]} and {index} are both called {token.name!r}")
        ids[token.name] = index
    return whole


def symbols(backend: SentencePieceProcessor) -> set[str]:
    """Names of symbols that the model's users defined, which it finds by itself."""
    pieces = (message_fields(content) for number, content in fields_of(backend.serialized_model_proto()) if number == 1)
    return {bytes(piece[1]).decode(errors="replace") for piece in pieces if piece.get(3) == USER_DEFINED}


def added_tokens(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[int, NamedToken]]:
    """Of `tokenizer_config.json` and `added_tokens.json`; raises ModelError for what is no token."""
    known = {}
    for index, value in listed_tokens(folder, settings).items():
        if value.get("single_word"):
            raise ModelError(f"{folder}: token {index} has single_word, which is not computed here; expected false")
        stripped = (bool(value.get(side)) for side in ("lstrip", "rstrip"))
        known[index] = NamedToken(value["content"], bool(value.get("special")), *stripped)
    yield from known.items()
    path, special = folder / "added_tokens.json", special_names(folder, settings)
    for name, index in optional_json(path).items():
        if not isinstance(index, int) or isinstance(index, bool) or index < 0 or not name:
            raise ModelError(f"{path}: got {str(index)[:60]!r} for {name[:60]!r}, expected a token's id")
        other = known.get(index)
        if other is not None and other.name != name:
            raise ModelError(f"{path} calls token {index} {name[:60]!r}, and tokenizer_config.json {other.name[:60]!r}")
        if other is None:
            yield index, NamedToken(name, name in special)


def listed_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """`added_tokens_decoder` of `tokenizer_config.json`, by id; each has a name, its `content`."""
    listed = settings.get("added_tokens_decoder") or {}
    if not isinstance(listed, dict):
        raise ModelError(f"{folder}: got added_tokens_decoder {str(listed)[:60]!r}, expected tokens by id")
    for key, value in listed.items():
        if not re.fullmatch("[0-9]{1,9}", key) or not isinstance(value, dict) or not is_name(value.get("content")):
            raise ModelError(f"{folder}: got token {key[:20]!r} {str(value)[:60]!r}, expected an id and its content")
    return {int(key): value for key, value in listed.items()}


def special_names(folder: Path, settings: Mapping[str, Any]) -> set[str]:
    """Of tokens that have a part to play, such as `pad_token`, in files that do not say so of each token."""
    found: set[str] = set()
    for source in (settings, optional_json(folder / "special_tokens_map.json")):
        more = source.get("additional_special_tokens")
        values = [value for key, value in source.items() if key.endswith("_token")]
        for value in (*values, *(more if isinstance(more, list) else ())):
            content = value.get("content") if isinstance(value, dict) else value
            found |= {content} if isinstance(content, str) else set()
    return found


def is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


# Messages of protocol buffers: https://protobuf.dev/programming-guides/encoding


def piece(text: str, score: Any, kind: Any, path: Path) -> bytes:
    """One piece of a ModelProto: its text, score and type."""
    if not isinstance(score, float) or not math.isfinite(score) or not isinstance(kind, int):
        raise ModelError(f"{path}: got score {score!r} and type {kind!r} of token {text[:60]!r}, expected numbers")
    content = message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(max(0, kind))
    return message(1, content)


def trainer(falls_back: bool) -> bytes:
    """The TrainerSpec: merges by score, bytes for what has no piece."""
    return message(2, b"\x18" + varint(BYTE_PAIRS) + varint(35 << 3) + varint(falls_back))


def normaliser(prefixes: bool, collapses: bool | None = None, rules: bytes = b"") -> bytes:
    """The NormalizerSpec: precompiled rules, a space before a text, and no spaces at its ends."""
    content = b"\x18" + varint(prefixes)
    if collapses is not None:
        content = message(2, rules) + content + b"\x20" + varint(collapses)
    return message(3, content)


def flags(backend: SentencePieceProcessor) -> tuple[bool, bool]:
    """Whether a space is put before a text, and whether those at its ends are removed; both where nothing says so."""
    found: dict[int, Any] = {3: 1, 4: 1}
    for number, content in fields_of(backend.serialized_model_proto()):
        if number == 3:
            found |= message_fields(content)
    return bool(found[3]), bool(found[4])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message_fields(content: Any) -> dict[int, Any]:
    return dict(fields_of(content)) if isinstance(content, bytes) else {}


def fields_of(content: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message that sentencepiece has written: whole numbers, or bytes."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = content[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(content):
        key = number()
        kind = key & 7
        if kind == 0:
            yield key >> 3, number()
            continue
        size = number() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, content[at : at + size]
        at += size
