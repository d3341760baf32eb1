"""Tokenizers as the files of models hold them: a GGUF file's vocabulary, or that of a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models import gguf_model, sentence_piece_files
from attnlab.bench.llm.models.assembly import GGUF_NAMES, tell_unknown
from attnlab.bench.llm.models.chat import ChatTemplate
from attnlab.bench.llm.models.folder_config import CONFIG_FILE, FolderFields, end_ids, optional_json, read_json
from attnlab.bench.llm.models.gguf_file import GgufFile
from attnlab.bench.llm.models.gguf_shards import open_gguf
from attnlab.bench.llm.models.sentence_pieces import SentencePieceTokenizer
from attnlab.bench.llm.models.tokenizer import Tokenizer

CONTROL, USER_DEFINED = 3, 4
"""Types of tokens in GGUF files."""

KNOWN = re.compile(
    r"tokenizer\.(chat_templates?(\..*)?|huggingface\.json|ggml\.(model|pre|tokens|token_type|token_type_count|scores|merges"
    r"|\w+_token_id|add_\w+_token|add_space_prefix|remove_extra_whitespaces|precompiled_charsmap))"
)
"""Fields that are computed, or change no id: nothing is added to what is encoded, and each model has one template."""

LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")
"""Names of Llama 3's split, whose vocabulary holds whole words that no merges make."""

LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def gguf_tokenizer(path: Path) -> Tokenizer:
    """Built from the vocabulary, the merges and the chat template in a GGUF file."""
    file = open_gguf(path)
    kind = file.field("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise ModelError(
            f"{path}: got a vocabulary of kind {kind!r}, expected 'gpt2', byte-level byte pairs, or 'llama', "
            "SentencePiece"
        )
    tell_unknown(
        str(path), [key for key in file.header.fields if key.startswith("tokenizer.") and not KNOWN.fullmatch(key)]
    )
    tokens = file.array("tokenizer.ggml.tokens")
    rows = file.shapes().get(GGUF_NAMES.outer["embedding"], (len(tokens),))[0]
    if len(tokens) > rows:
        raise ModelError(f"{path}: got {len(tokens)} tokens for {rows} rows of the embedding; expected no more tokens")
    bos_id, eos_ids = gguf_model.optional_id(file, "tokenizer.ggml.bos_token_id"), gguf_model.end_ids(file)
    ids = {"bos_token": bos_id, "eos_token": eos_ids[0] if eos_ids else None}
    names = {key: tokens[index] for key, index in ids.items() if index is not None and index < len(tokens)}
    template = file.header.fields.get("tokenizer.chat_template")
    chat = ChatTemplate(template, names) if isinstance(template, str) else None
    if kind == "llama":
        return SentencePieceTokenizer(sentence_piece_files.of_gguf(file, tokens), len(tokens), bos_id, eos_ids, chat)
    return Tokenizer(gguf_backend(file, tokens), len(tokens), bos_id, eos_ids, chat)


def gguf_backend(file: GgufFile, tokens: list[str]) -> Backend:
    split = file.field("tokenizer.ggml.pre", "none")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = checked_merges(file, vocabulary)
    backend = Backend(BPE(vocab=vocabulary, merges=merges, ignore_merges=split in LLAMA_3))
    backend.pre_tokenizer = pre_tokenizer(str(split), file.path)
    backend.decoder = ByteLevelDecoder()
    types = file.array("tokenizer.ggml.token_type")
    if len(types) != len(tokens):
        raise ModelError(f"{file.path}: got {len(types)} types for {len(tokens)} tokens, expected one for each")
    for wanted, special in ((CONTROL, True), (USER_DEFINED, False)):
        found = [token for token, kind in zip(tokens, types, strict=True) if kind == wanted]
        backend.add_tokens([AddedToken(token, special=special, normalized=False) for token in found])
    return backend


def checked_merges(file: GgufFile, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of tokens whose join is a token; raises ModelError, naming the first that is not."""
    merges = []
    for number, merge in enumerate(file.array("tokenizer.ggml.merges")):
        first, space, second = str(merge).partition(" ")
        unknown = next((token for token in (first, second, first + second) if token not in vocabulary), None)
        if not space or unknown is not None:
            why = f"{unknown!r} is no token" if space else "it has no space"
            raise ModelError(
                f"{file.path}: merge {number} is {merge!r}, expected two tokens with a space between: {why}"
            )
        merges.append((first, second))
    return merges


def pre_tokenizer(split: str, path: Path) -> Any:
    """What cuts a text into pieces before the merges, by its name in `tokenizer.ggml.pre`."""
    if split == "gpt-2":
        return ByteLevel(add_prefix_space=False)
    if split == "smollm":  # each digit by itself
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    if split in LLAMA_3:
        pieces = Split(Regex(LLAMA_3_SPLIT), "isolated")
        return Sequence([pieces, ByteLevel(add_prefix_space=False, use_regex=False)])
    known = ", ".join(("gpt-2", "smollm", *LLAMA_3))
    if split in ("none", "default"):
        raise ModelError(
            f"{path} does not say how a text is cut before its merges (tokenizer.ggml.pre is {split!r}), and a guess "
            f"would give other tokens; expected one of {known}: convert the model again with a newer llama.cpp"
        )
    raise ModelError(f"{path}: got tokenizer.ggml.pre {split!r}, expected one of {known}")


def folder_tokenizer(folder: Path) -> Tokenizer:
    """From `tokenizer.json`, or `tokenizer.model` where there is none, with the settings beside it."""
    path, pieces = folder / "tokenizer.json", folder / sentence_piece_files.MODEL_FILE
    if not path.is_file() and not pieces.is_file():
        raise ModelError(f"{folder} has neither {path.name} nor {pieces.name}; expected a tokenizer beside the weights")
    backend = json_backend(path) if path.is_file() else None
    settings = optional_json(folder / "tokenizer_config.json")
    names = {key: token_name(settings.get(key)) for key in ("bos_token", "eos_token")}
    fields = FolderFields(folder / CONFIG_FILE, read_json(folder / CONFIG_FILE))
    chat = folder_template(folder, settings, {key: name for key, name in names.items() if name is not None})
    bos_id, eos_ids = fields.token("bos_token_id"), end_ids(folder, fields.values)
    if backend is not None:
        check_listed(backend, folder, settings)
        size = vocabulary_rows(fields, backend.get_vocab_size(), path)
        made = Tokenizer(backend, size, bos_id, eos_ids, chat)
        try:
            made.spelling  # noqa: B018 - whether it is known
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        return made
    found = sentence_piece_files.of_folder(folder, settings)
    size = vocabulary_rows(fields, max(len(found.texts), *(index + 1 for index in found.named)), pieces)
    return SentencePieceTokenizer(found, size, bos_id, eos_ids, chat)


def json_backend(path: Path) -> Backend:
    read_json(path)
    try:
        return Backend.from_file(str(path))
    except Exception as error:  # the package raises no other
        raise ModelError(f"{path} is no tokenizer: {error}") from error


def check_listed(backend: Backend, folder: Path, settings: Mapping[str, Any]) -> None:
    """Tokens that the settings list must be those of `tokenizer.json`: transformers would add or rename them."""
    for index, value in sentence_piece_files.listed_tokens(folder, settings).items():
        got = backend.id_to_token(index)
        if got != value["content"]:
            raise ModelError(
                f"{folder}: token {index} is {value['content'][:60]!r} in tokenizer_config.json, and {str(got)[:60]!r} "
                "in tokenizer.json; expected one name"
            )


def vocabulary_rows(fields: FolderFields, tokens: int, path: Path) -> int:
    """Rows of the embedding, of which a vocabulary may leave some unused."""
    rows = fields.whole("vocab_size", tokens)
    if tokens > rows:
        raise ModelError(
            f"{path} has {tokens} tokens, and {CONFIG_FILE} a vocab_size of {rows}; expected no more tokens"
        )
    return rows


def token_name(value: Any) -> str | None:
    """A special token's text, which newer files give as an object."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def folder_template(folder: Path, settings: Mapping[str, Any], names: Mapping[str, str]) -> ChatTemplate | None:
    """The template in a file of its own, or among the settings."""
    own = folder / "chat_template.jinja"
    try:
        text = own.read_text(encoding="utf-8") if own.is_file() else settings.get("chat_template")
    except UnicodeDecodeError as error:
        raise ModelError(f"{own} is not text in UTF-8: {error}") from error
    if isinstance(text, list):  # several, by name
        named = (entry for entry in text if isinstance(entry, dict))
        text = next((entry.get("template") for entry in named if entry.get("name") == "default"), None)
    return ChatTemplate(text, names) if isinstance(text, str) else None
