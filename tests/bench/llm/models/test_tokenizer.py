"""Text to ids and back as transformers does it, and token by token without broken characters."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.bench.errors import ModelError, ModelUnavailable, ModelWarning, Unavailable, UsageError
from attnlab.bench.llm.captured.texts import DATA, token_ids
from attnlab.bench.llm.models.chat import Message
from attnlab.bench.llm.models.load import load_tokenizer
from attnlab.bench.llm.models.tokenizer import FIRST_SPACE, SPACES, Spelling, Tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="package tokenizers is not installed")

CONTROL = 3
"""The type of a special token in GGUF files."""

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TEXTS = {
    "prose": (DATA / "prose.txt").read_text(encoding="utf-8")[:3000],
    "code": (DATA / "code.txt").read_text(encoding="utf-8")[:3000],
    "numbers": "In  2024, 3.14159 or  1,000,000;\n    7 = 0x1F, ½ of ٣٤ and Ⅷ",
    "scripts": "Straße, naïve, Ελληνικά, русский, עברית, العربية, हिन्दी, 日本語のテキスト, 中文, 한국어, ไทย",
    "emoji": "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 skin, 🦙🦙 llamas, e\u0301 and é",
    "spaces": " \t\n\n  two  spaces\r\n\u00a0no-break\u3000wide   \n \n",
    "broken": (bytes(range(128, 256)) + b"\xf0\x9f\xa6 caf\xc3").decode("utf-8", "replace"),
    "controls": "".join(map(chr, range(160))),
    "special": "<|im_start|>user\nSay <|im_end|> aloud<|im_end|>\n<|endoftext|>",
    "single": "x",
}
MESSAGES = [Message("user", " What is 2 + 2? "), Message("assistant", "4"), Message("user", "Why?\n")]


@pytest.fixture(scope="module")
def smollm2() -> Tokenizer:
    try:
        return load_tokenizer("smollm2_135m")
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(smollm2: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the publisher's own folder has it: the vocabulary in `tokenizer.json`, the template beside it."""
    path = tmp_path_factory.mktemp("published")
    model = json.loads(smollm2.backend.to_str())["model"]
    digits = {"type": "Digits", "individual_digits": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": name, **flags} for name, i in smollm2.special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": model,
    }
    (path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert smollm2.chat is not None
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": {"__type": "AddedToken", "content": "<|im_end|>"} | flags,
        "chat_template": smollm2.chat.text,
    }
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    (path / "config.json").write_text('{"vocab_size": 49152, "bos_token_id": 1, "eos_token_id": 2}')
    return path


@pytest.fixture(scope="module")
def peer(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    """A byte-level vocabulary of 400 tokens, learnt from the captured prose."""
    return small(tokenizers.decoders.ByteLevel())


@cache
def small(decoder: Any) -> Tokenizer:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoder
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    backend.train_from_iterator([TEXTS["prose"]], trainer)
    return Tokenizer(backend, 400, bos_id=0, eos_ids=(1,), chat=None)


@cache
def vocabulary(tokenizer: Tokenizer) -> tuple[dict[str, int], dict[tuple[str, ...], int]]:
    """Ids of tokens, and ranks of merges."""
    model = json.loads(tokenizer.backend.to_str())["model"]
    return model["vocab"], {tuple(pair): rank for rank, pair in enumerate(model["merges"])}


def by_hand(text: str, tokenizer: Tokenizer) -> list[int]:
    """Byte pairs in plain Python (Sennrich et al., arXiv 1508.07909): the pair learnt first is merged first."""
    regex = pytest.importorskip("regex", reason="package regex is not installed")
    known, ranks = vocabulary(tokenizer)
    character_of = {byte: c for c, byte in Spelling(byte_level=True)._byte_of.items()}
    ids = []
    for run in regex.findall(r"\p{N}|\P{N}+", text):
        for piece in regex.findall(GPT2_SPLIT, run):
            characters = [character_of[byte] for byte in piece.encode()]
            parts = [c for c in characters if c in known]  # some control characters are not in the vocabulary
            while len(parts) > 1:
                pairs = list(itertools.pairwise(parts))
                rank, place = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(pairs))
                if rank == len(ranks):
                    break
                parts[place : place + 2] = ["".join(pairs[place])]
            ids += [known[part] for part in parts]
    return ids


@pytest.mark.parametrize("name", TEXTS)
def test_ids_and_text_are_those_of_transformers(name: str, smollm2: Tokenizer, peer: Any) -> None:
    text = TEXTS[name]
    ids = smollm2.encode(text)
    assert ids == peer.encode(text, add_special_tokens=False)
    assert smollm2.decode(ids, skip_special=False) == text or name == "controls"
    assert smollm2.decode(ids) == peer.decode(ids, skip_special_tokens=True)
    for cut in range(min(len(ids), 60)):
        assert smollm2.decode(ids[cut : cut + 3]) == peer.decode(ids[cut : cut + 3], skip_special_tokens=True)


@pytest.mark.parametrize("name", sorted(set(TEXTS) - {"special"}))
def test_ids_are_the_byte_pairs_merged_by_hand(name: str, smollm2: Tokenizer) -> None:
    assert smollm2.encode(TEXTS[name]) == by_hand(TEXTS[name], smollm2)


def test_captured_ids_are_what_the_texts_encode_to(smollm2: Tokenizer) -> None:
    whole = (DATA / "code.txt").read_text(encoding="utf-8")
    assert smollm2.encode(whole) == token_ids("code").tolist()


def test_a_folder_gives_the_same_tokenizer_as_the_gguf_file(smollm2: Tokenizer, folder: Path) -> None:
    read = load_tokenizer(str(folder))
    for text in TEXTS.values():
        assert read.encode(text) == smollm2.encode(text)
    assert (read.special, read.chat) == (smollm2.special, smollm2.chat)
    assert (read.vocab_size, read.bos_id, read.eos_ids) == (smollm2.vocab_size, smollm2.bos_id, smollm2.eos_ids)
    assert (smollm2.vocab_size, smollm2.bos_id, smollm2.eos_ids) == (49152, 1, (2,))
    assert smollm2.special["<|im_end|>"] == 2
    assert len(smollm2.special) == 17


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_conversation_reads_as_in_transformers(goes_on: bool, smollm2: Tokenizer, peer: Any) -> None:
    assert smollm2.chat is not None
    messages = [{"role": message.role, "content": message.content} for message in MESSAGES]
    expected = peer.apply_chat_template(messages, tokenize=False, add_generation_prompt=goes_on)
    assert smollm2.chat.render(MESSAGES, add_generation_prompt=goes_on) == expected
    assert expected.count("<|im_start|>") == 4 + goes_on


def test_padding_that_a_damaged_file_claims_takes_no_memory(trained: Tokenizer) -> None:
    stream = dataclasses.replace(trained, vocab_size=2**40).decode_stream()
    assert [stream.push(index) for index in (2**40 - 1, *trained.encode("x"))] == ["", "x"]


def test_lone_surrogates_and_nothing_are_encoded(trained: Tokenizer) -> None:
    assert trained.encode("") == []
    assert trained.encode("a\ud800b") == trained.encode("a\ufffdb")
    assert trained.decode(trained.encode("🦙")) == "🦙"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 399), max_size=30), st.booleans())
def test_a_stream_gives_the_whole_text_and_no_broken_character(ids: list[int], skip_special: bool) -> None:
    """Random tokens of a small vocabulary are mostly single bytes, so that few are whole characters."""
    trained = small(tokenizers.decoders.ByteLevel())
    stream = trained.decode_stream(skip_special)
    pieces = [stream.push(index) for index in ids]
    assert "".join(pieces) + stream.finish() == trained.decode(ids, skip_special)


def test_bytes_are_held_back_until_a_character_is_whole(trained: Tokenizer) -> None:
    stream = trained.decode_stream()
    llama = trained.encode("🦙")
    assert len(llama) == 4
    assert [stream.push(index) for index in [*llama, trained.special["</s>"], *llama[:2]]] == [
        *[""] * 3,
        "🦙",
        *[""] * 3,
    ]
    assert stream.finish() == "\ufffd"
    shown = trained.decode_stream(skip_special=False)
    assert shown.push(trained.special["</s>"]) == "</s>"


def test_a_vocabulary_with_marks_for_spaces_streams_too() -> None:
    """As of Llama 2 and Mistral: `▁` for a space, and bytes as `<0x..>` for what it lacks."""
    words = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁Hi", "▁you", "é", "!"]
    model = tokenizers.models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[], byte_fallback=True)
    backend = tokenizers.Tokenizer(model)
    steps = tokenizers.decoders
    backend.decoder = steps.Sequence(
        [steps.Replace("▁", " "), steps.ByteFallback(), steps.Fuse(), steps.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<s>"])
    tokenizer = Tokenizer(backend, len(words), bos_id=0, eos_ids=(), chat=None)
    ids = [
        0,
        *(words.index(word) for word in ("▁Hi", "▁you", "é", "!")),
        *(1 + byte for byte in "🦙".encode()),
        257,
        257,
    ]
    stream = tokenizer.decode_stream()
    pieces = [stream.push(index) for index in ids]
    assert pieces == ["", "Hi", " you", "é", "!", "", "", "", "", "🦙 ", " "], "bytes wait for what follows"
    assert "".join(pieces) == tokenizer.decode(ids)


WORDS = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁Hi", "é", "a"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([0, *(1 + byte for byte in b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\xff"), *range(257, 261)])))
@pytest.mark.parametrize("skip_special", [True, False])
def test_bytes_that_are_fallen_back_to_stream_as_the_whole_reads(skip_special: bool, ids: list[int]) -> None:
    """Characters that are cut, bytes that are none, special tokens between them."""
    tokenizer = fallen_back()
    stream = tokenizer.decode_stream(skip_special)
    assert "".join([*map(stream.push, ids), stream.finish()]) == tokenizer.decode(ids, skip_special)


@cache
def fallen_back() -> Tokenizer:
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={word: i for i, word in enumerate(WORDS)}, merges=[], byte_fallback=True)
    )
    steps = tokenizers.decoders
    backend.decoder = steps.Sequence(
        [steps.Replace("▁", " "), steps.ByteFallback(), steps.Fuse(), steps.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<s>"])
    return Tokenizer(backend, len(WORDS), bos_id=0, eos_ids=(), chat=None)


def test_names_of_special_tokens_can_be_plain_text(smollm2: Tokenizer) -> None:
    text = "Say <|im_end|> aloud"
    special = smollm2.special["<|im_end|>"]
    assert special in smollm2.encode(text)
    plain = smollm2.encode(text, plain=True)
    assert special not in plain
    assert smollm2.decode(plain, skip_special=False) == text
    assert special in smollm2.encode(text), "as before"


@pytest.mark.parametrize(
    ("merges", "types_left_out", "message"),
    [
        (["1 2", "q zz"], 0, "merge 1 is 'q zz', expected two tokens with a space between: 'zz' is no token"),
        (["1 3"], 0, "merge 0 is '1 3', .*: '13' is no token"),
        (["12"], 0, "merge 0 is '12', .*: it has no space"),
        (["1 2"], 3, "got 256 types for 259 tokens, expected one for each"),
    ],
)
def test_a_vocabulary_that_does_not_fit_together_is_refused(
    merges: list[str], types_left_out: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        load_tokenizer(str(written(tmp_path, "gpt2", "gpt-2", merges, types_left_out)))


def test_ids_out_of_range_are_refused(trained: Tokenizer) -> None:
    for index in (-1, 400):
        for call in (trained.decode, lambda ids: trained.decode_stream().push(ids[0])):
            with pytest.raises(UsageError, match=rf"got token id {index}, expected 0 to 399"):
                call([index])


def test_models_without_files_have_no_tokenizer() -> None:
    with pytest.raises(ModelUnavailable, match="llama3_8b has random weights and no tokenizer; take random prompts"):
        load_tokenizer("llama3_8b")


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnlab.bench.llm.models.load.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="not installed: tokenizers"):
        load_tokenizer("smollm2_135m")


@pytest.mark.parametrize(
    ("kind", "split", "message"),
    [
        ("bert", "default", "got a vocabulary of kind 'bert', expected 'gpt2', byte-level byte pairs, or 'llama'"),
        ("gpt2", "tekken", "got tokenizer.ggml.pre 'tekken', expected one of gpt-2, smollm"),
        ("gpt2", "default", "does not say how a text is cut before its merges .* is .default.\\), and a guess"),
        ("gpt2", None, "does not say how a text is cut before its merges"),
    ],
)
def test_vocabularies_of_other_kinds_are_refused(kind: str, split: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_tokenizer(str(written(tmp_path, kind, split)))


def written(
    folder: Path, kind: str, split: str | None, merges: Sequence[str] = ("1 2", "Ġ a"), types_left_out: int = 0
) -> Path:
    """A GGUF file with a vocabulary of the bytes, two merges and one special token."""
    gguf = pytest.importorskip("gguf", reason="package gguf is not installed")
    characters = list(Spelling(byte_level=True)._byte_of)
    tokens = ["<s>", *characters, "12", "Ġa"]
    writer = gguf.GGUFWriter(folder / "v.gguf", "llama")
    writer.add_tokenizer_model(kind)
    if split is not None:
        writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    writer.add_token_types([CONTROL, *[1] * (len(tokens) - 1)][: len(tokens) - types_left_out])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return folder / "v.gguf"


@pytest.mark.parametrize(
    ("split", "pieces"),
    [
        ("gpt-2", ["<s>", "12", "Ġa"]),
        ("smollm", ["<s>", "1", "2", "Ġa"]),
        ("llama-bpe", ["<s>", "12", "Ġa"]),
    ],
)
def test_a_split_decides_which_bytes_may_be_merged(split: str, pieces: list[str], tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(written(tmp_path, "gpt2", split)))
    ids = tokenizer.encode("<s>12 a")
    assert [tokenizer.backend.id_to_token(index) for index in ids] == pieces
    assert tokenizer.decode(ids) == "12 a"
    assert (tokenizer.chat, tokenizer.eos_ids, tokenizer.bos_id) == (None, (), None)


def test_a_folder_whose_tokenizer_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{re.escape(str(tmp_path))} has neither tokenizer.json nor"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(ModelError, match=r"tokenizer.json is no tokenizer"):
        load_tokenizer(str(tmp_path))


def test_a_folder_with_more_tokens_than_rows_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "config.json").write_text('{"vocab_size": 49000}')
    with pytest.raises(ModelError, match=r"has 49152 tokens, and config.json a vocab_size of 49000"):
        load_tokenizer(str(tmp_path))


def test_settings_that_call_a_token_otherwise_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"added_tokens_decoder": {"2": {"content": "<|im_end|>", "special": true}}}')
    assert load_tokenizer(str(tmp_path)).special["<|im_end|>"] == 2
    for index, got in (("2", "<.im_end.>"), ("49152", "None")):
        path.write_text(json.dumps({"added_tokens_decoder": {index: {"content": "<|more|>"}}}))
        with pytest.raises(ModelError, match=f"token {index} is '<.more.>' in tokenizer_config.json, and '{got}' in"):
            load_tokenizer(str(tmp_path))


def test_a_field_of_a_vocabulary_that_is_not_known_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "gpt2", "gpt-2")
    content, key = path.read_bytes(), b"tokenizer.ggml.lowercase"
    fields = struct.unpack_from("<Q", content, 16)[0]
    added = struct.pack("<Q", len(key)) + key + struct.pack("<I?", 7, True)
    path.write_bytes(content[:16] + struct.pack("<Q", fields + 1) + added + content[24:])
    with pytest.warns(ModelWarning, match=r"tokenizer.ggml.lowercase: not known here"):
        load_tokenizer(str(path))


DECODERS: dict[str, list[dict[str, Any]]] = {
    "Llama 2": [SPACES, {"type": "ByteFallback"}, {"type": "Fuse"}, FIRST_SPACE],
    "Gemma": [SPACES, {"type": "ByteFallback"}, {"type": "Fuse"}],
    "no bytes": [SPACES, {"type": "Fuse"}, FIRST_SPACE],
}


@cache
def decoded_by(name: str) -> Tokenizer:
    backend = json.loads(fallen_back().backend.to_str())
    backend["decoder"] = {"type": "Sequence", "decoders": DECODERS[name]}
    return Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(backend)), len(WORDS), bos_id=0, eos_ids=(), chat=None)


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.sampled_from([0, 33, *(1 + byte for byte in b"a\xc3\xa9\xff"), *range(257, 261)])))
def test_a_stream_follows_the_decoder_of_the_file(name: str, ids: list[int]) -> None:
    """A first space stays or goes, and `<0x20>` is a space or six characters."""
    tokenizer = decoded_by(name)
    stream = tokenizer.decode_stream()
    assert "".join([*map(stream.push, ids), stream.finish()]) == tokenizer.decode(ids)


@pytest.mark.parametrize(
    "decoder",
    [
        None,
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
        {"type": "Sequence", "decoders": [SPACES, {"type": "Fuse"}, FIRST_SPACE | {"start": 2}]},
        {"type": "Sequence", "decoders": [SPACES, FIRST_SPACE, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        {"type": "Sequence", "decoders": [SPACES | {"content": ""}, {"type": "Fuse"}]},
    ],
)
def test_other_ways_from_tokens_to_text_are_refused(decoder: Any, tmp_path: Path) -> None:
    backend = json.loads(fallen_back().backend.to_str()) | {"decoder": decoder}
    (tmp_path / "tokenizer.json").write_text(json.dumps(backend))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer.json: got a decoder .*, expected ByteLevel, or Replace of"):
        load_tokenizer(str(tmp_path))
