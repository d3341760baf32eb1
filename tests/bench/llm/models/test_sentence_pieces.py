"""SentencePiece vocabularies, of folders and GGUF files, give what the package sentencepiece gives, also streamed."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.bench.errors import ModelError, ModelWarning, Unavailable, UsageError
from attnlab.bench.llm.models.chat import Message
from attnlab.bench.llm.models.load import load_tokenizer
from attnlab.bench.llm.models.prompts import prompt_ids
from attnlab.bench.llm.models.sentence_piece_files import of_folder
from attnlab.bench.llm.models.sentence_pieces import SentencePieceTokenizer
from attnlab.bench.llm.models.tokenizer import Tokenizer

sentencepiece = pytest.importorskip("sentencepiece", reason="package sentencepiece is not installed")
gguf = pytest.importorskip("gguf", reason="package gguf is not installed")

TEXTS = [
    "The quick brown fox jumps over the lazy dog, again and again.",
    "Ünïcode: naïve café, Straße; 日本語 русский ﬁ ①",
    "aaaa aaa aa a aaaaaaa bababa",
    "  two  spaces\tand a tab\nand lines\n",
    "x = [1, 23, 456]; y <= 7890",
] * 9
KINDS: dict[str, dict[str, Any]] = {
    "bpe": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "split_digits": True}
    | {"remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True},
    "bpe, unprefixed": {"model_type": "bpe", "byte_fallback": True, "add_dummy_prefix": False}
    | {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe, normalised": {"model_type": "bpe", "byte_fallback": True},
    "bpe, no bytes": {"model_type": "bpe", "normalization_rule_name": "nfkc_cf"},
    "unigram": {"model_type": "unigram", "byte_fallback": True},
    "unigram, suffix": {"model_type": "unigram", "treat_whitespace_as_suffix": True, "remove_extra_whitespaces": False},
    "unigram, no bytes": {"model_type": "unigram", "normalization_rule_name": "identity", "add_dummy_prefix": False},
}


@cache
def model(kind: str) -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=out,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
        user_defined_symbols=["<sep>", "[1"],
        control_symbols=["<|ctl|>"],
        num_threads=1,
        **KINDS[kind],
    )
    return out.getvalue()


@cache
def processor(kind: str) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=model(kind))


def written(folder: Path, content: bytes, config: Mapping[str, Any] | None = None, **tokenizer: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(content)
    (folder / "config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2} | dict(config or {})))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


@cache
def tokenizer_of(kind: str, source: str, folder: Path, **settings_: Any) -> Tokenizer:
    if source == "gguf":
        return load_tokenizer(str(as_gguf(folder / f"{kind}.gguf", kind)))
    return load_tokenizer(str(written(folder / kind, model(kind), **settings_)))


def as_gguf(path: Path, kind: str, left_out: tuple[str, ...] = (), **changed: Any) -> Path:
    """As llama.cpp's converter writes a SentencePiece model; flags of the normaliser besides, where they differ."""
    sp = processor(kind)
    ids = range(sp.get_piece_size())
    user_defined = {"<sep>", "[1"}

    def type_of(index: int) -> int:
        if sp.id_to_piece(index) in user_defined:
            return 4
        flags = ((sp.is_unknown, 2), (sp.is_control, 3), (sp.is_unused, 5), (sp.is_byte, 6))
        return next((number for is_it, number in flags if is_it(index)), 1)

    made: dict[str, Any] = {
        "tokens": [sp.id_to_piece(index) for index in ids],
        "scores": [sp.get_score(index) for index in ids],
        "types": [type_of(index) for index in ids],
    } | changed
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(made["tokens"])
    if "scores" not in left_out:
        writer.add_token_scores(made["scores"])
    writer.add_token_types(made["types"])
    writer.add_add_space_prefix(KINDS[kind].get("add_dummy_prefix", True))
    if KINDS[kind].get("remove_extra_whitespaces", True):
        writer.add_remove_extra_whitespaces(True)
    if "normalization_rule_name" not in KINDS[kind]:
        writer.add_precompiled_charsmap(RULES)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


RULES = (Path(sentencepiece.__file__).parent / "package_data" / "nmt_nfkc.bin").read_bytes()
SOURCES = [(kind, "folder") for kind in KINDS] + [
    (kind, "gguf") for kind in ("bpe", "bpe, unprefixed", "bpe, normalised")
]
PIECES_OF_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["<s>", "</s>", "<unk>", "<sep>", "<|ctl|>", "<0x0A>", "▁", " ", "  ", "[1", "aaa", "\n", "\0", "é"]
    ),
)
ANY_TEXT = st.lists(PIECES_OF_TEXT, max_size=8).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pieces")


@pytest.mark.parametrize(("kind", "source"), SOURCES)
@settings(max_examples=70, deadline=None)
@given(text=ANY_TEXT)
def test_plain_text_gives_the_ids_of_sentencepiece(kind: str, source: str, folder: Path, text: str) -> None:
    """Names of special tokens are text; symbols that a user defined are what the model makes of them."""
    tokenizer, expected = tokenizer_of(kind, source, folder), processor(kind)
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    ids = tokenizer.encode(text, plain=True)
    assert ids == expected.encode(whole)
    known = [index for index in ids if not expected.is_unknown(index)]
    assert tokenizer.decode(known) == expected.decode(known)


@pytest.mark.parametrize(("kind", "source"), SOURCES)
@settings(max_examples=70, deadline=None)
@given(data=st.data())
def test_any_ids_read_as_sentencepiece_reads_them_whole_and_streamed(
    kind: str, source: str, folder: Path, data: st.DataObject
) -> None:
    """Characters that are cut, bytes that are none, special tokens between, spaces at the beginning."""
    tokenizer, expected = tokenizer_of(kind, source, folder), processor(kind)
    spaced = [i for i in range(expected.get_piece_size()) if expected.id_to_piece(i).startswith("▁")]
    size = expected.get_piece_size()
    one = st.one_of(st.sampled_from([1, 2, 5, *spaced]), st.integers(1, min(260, size - 1)), st.integers(1, size - 1))
    ids = data.draw(st.lists(one, max_size=12))
    assert tokenizer.decode(ids) == expected.decode(ids)
    for skip_special in (True, False):
        stream = tokenizer.decode_stream(skip_special)
        assert "".join([*map(stream.push, ids), stream.finish()]) == tokenizer.decode(ids, skip_special)


def test_characters_come_as_soon_as_they_are_whole(folder: Path) -> None:
    tokenizer = tokenizer_of("bpe", "folder", folder)
    ids = tokenizer.encode("☃ x")
    stream = tokenizer.decode_stream()
    assert [stream.push(index) for index in ids] == ["", "", "", "☃", " ", "x"] or len(ids) != 6
    assert stream.finish() == ""
    cut = tokenizer.decode_stream()
    assert "".join(cut.push(index) for index in ids[:3]) + cut.finish() == "\ufffd\ufffd"


@pytest.mark.parametrize("legacy", [True, False])
def test_special_tokens_are_those_of_transformers(legacy: bool, tmp_path: Path) -> None:
    """LlamaTokenizer's, with the space before text after a special token (`legacy`) and without."""
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    from transformers.tokenization_utils_sentencepiece import SentencePieceExtractor

    tokenizer = load_tokenizer(str(written(tmp_path / "m", model("bpe"), legacy=legacy)))
    ids, _, merges = SentencePieceExtractor(str(tmp_path / "m" / "tokenizer.model")).extract()
    peer = transformers.LlamaTokenizer(vocab=ids, merges=merges, legacy=legacy, add_bos_token=False)
    for text in ("<s>Hello <s>world</s>", "The quick</s><s>brown", "<s>", "", "a <unk>b", "<s>x", "é<s>日本"):
        got = tokenizer.encode(text)
        assert got == peer.encode(text, add_special_tokens=False), text
        assert tokenizer.decode(got) == peer.decode(got, skip_special_tokens=True)
    assert tokenizer.special == {"<unk>": 0, "<s>": 1, "</s>": 2, "<|ctl|>": 3}
    assert tokenizer.encode("<s>Hi")[0] == 1
    assert 1 not in tokenizer.encode("<s>Hi", plain=True)


@pytest.mark.parametrize(("kind", "source"), [("bpe", "folder"), ("bpe", "gguf"), ("bpe, unprefixed", "folder")])
@settings(max_examples=50, deadline=None)
@given(text=ANY_TEXT)
def test_text_with_special_tokens_comes_back(kind: str, source: str, folder: Path, text: str) -> None:
    tokenizer = tokenizer_of(kind, source, folder)
    whole = text.replace("▁", " ").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert tokenizer.decode(tokenizer.encode(whole), skip_special=False) == whole


def test_a_gguf_file_puts_a_space_after_special_tokens_too(folder: Path) -> None:
    tokenizer = tokenizer_of("bpe", "gguf", folder)
    quick = tokenizer.encode("quick")
    assert tokenizer.encode("quick<s>quick") == [*quick, 1, *quick]
    assert tokenizer.decode([*quick, 1, *quick], skip_special=False) == "quick<s>quick"
    first = tokenizer_of("bpe", "folder", folder)
    assert first.encode("quick<s>quick") != [*quick, 1, *quick]


def test_a_token_without_a_name_has_one_as_in_llama_cpp(tmp_path: Path) -> None:
    sp = processor("bpe")
    tokens = [sp.id_to_piece(index) for index in range(sp.get_piece_size() - 1)]
    tokenizer = load_tokenizer(str(as_gguf(tmp_path / "v.gguf", "bpe", tokens=[*tokens, ""])))
    assert tokenizer.decode([len(tokens)]) == f"[EMPTY_{len(tokens)}]"


def test_prompts_have_exactly_as_many_tokens(folder: Path) -> None:
    for kind, source in (("bpe", "folder"), ("bpe", "gguf"), ("unigram", "folder")):
        tokenizer = tokenizer_of(kind, source, folder)
        assert prompt_ids("chat", tokenizer, count=2, tokens=300).shape == (2, 300)


def added(content: str, special: bool = True, **flags: bool) -> dict[str, Any]:
    return {"content": content, "special": special, "normalized": False} | flags


def test_tokens_that_a_folder_adds(tmp_path: Path) -> None:
    size = processor("bpe").get_piece_size()
    listed = {
        "0": added("<unk>"),
        "1": added("<s>"),
        "2": added("</s>"),
        str(size): added("<|im_start|>"),
        str(size + 1): added("<|im|>", lstrip=True, rstrip=True),
        str(size + 2): added("word", special=False),
    }
    settings_ = {"added_tokens_decoder": listed, "chat_template": "{{ bos_token }}{{ messages[0].content }}"}
    path = written(tmp_path / "m", model("bpe"), {"vocab_size": size + 9}, bos_token=added("<s>"), **settings_)
    (path / "added_tokens.json").write_text(json.dumps({"<|im_start|>": size, "<pad>": size + 3, "more": size + 4}))
    (path / "special_tokens_map.json").write_text('{"pad_token": "<pad>"}')
    tokenizer = load_tokenizer(str(path))
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert tokenizer.vocab_size == size + 9
    assert tokenizer.special == {"<unk>": 0, "<s>": 1, "</s>": 2, "<|ctl|>": 3} | {
        "<|im_start|>": size,
        "<|im|>": size + 1,
        "<pad>": size + 3,
    }
    a = tokenizer.encode("a")
    assert tokenizer.encode("a<|im_start|>") == [*a, size]
    assert tokenizer.encode("a  <|im|> \n") == [*a, size + 1], "spaces at its sides are its own"
    assert tokenizer.encode("aword", plain=True) == [*a, size + 2]
    assert size not in tokenizer.encode("a<|im_start|>", plain=True)
    assert tokenizer.decode([*a, size, size + 2, size + 4, size + 8]) == "awordmore"
    assert tokenizer.decode([size], skip_special=False) == "<|im_start|>"
    assert tokenizer.chat is not None
    assert tokenizer.chat.render([Message("user", "x")]) == "<s>x"
    with pytest.raises(UsageError, match="got token id"):
        tokenizer.decode([size + 9])


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"x": added("<a>")}, "got token 'x' .*, expected an id and its content"),
        ({"5": {"special": True}}, "got token '5' .*, expected an id and its content"),
        ({"5": added("")}, "got token '5' .*, expected an id and its content"),
        ({"5": added("<a>", single_word=True)}, "token 5 has single_word, which is not computed here"),
        ({"5": added("<a>"), "6": added("<a>")}, "tokens 5 and 6 are both called '<a>'"),
        ({"9999": added("<a>")}, "tokenizer.model has 10000 tokens, and config.json a vocab_size of 500"),
        (["<a>"], "got added_tokens_decoder .*, expected tokens by id"),
    ],
)
def test_tokens_that_are_none_are_refused(listed: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "m", model("bpe"), {"vocab_size": 500}, added_tokens_decoder=listed)
    with pytest.raises(ModelError, match=message):
        load_tokenizer(str(path))


def test_flags_that_are_none_and_files_that_are_missing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flag in ("legacy", "add_prefix_space"):
        with pytest.raises(ModelError, match=f"got 'yes' for {flag}, expected true or false"):
            load_tokenizer(str(written(tmp_path / "m", model("bpe"), **{flag: "yes"})))
    unprefixed = load_tokenizer(str(written(tmp_path / "m", model("bpe"), add_prefix_space=False)))
    assert unprefixed.encode("quick") == unprefixed.encode("<s>quick")[1:]
    assert unprefixed.decode(unprefixed.encode(" quick")) == " quick"
    monkeypatch.setattr("attnlab.bench.llm.models.sentence_piece_files.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"not installed: sentencepiece; mend with: pip install 'attnlab"):
        load_tokenizer(str(tmp_path / "m"))
    (tmp_path / "m" / "tokenizer.model").unlink()
    with pytest.raises(ModelError, match=r"m has neither tokenizer.json nor tokenizer.model"):
        load_tokenizer(str(tmp_path / "m"))


@pytest.mark.parametrize("content", [b"", b"IQ== 0\nIg== 1\n", b"\x0a\x00", bytes(100)])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer.model has no SentencePiece vocabulary"):
        load_tokenizer(str(written(tmp_path / "m", content)))


@pytest.mark.parametrize(
    ("left_out", "changed", "message"),
    [
        (("scores",), {}, "lacks the field tokenizer.ggml.scores"),
        ((), {"scores": [0.0] * 3}, r"got 3 scores for \d+ tokens, expected one for each"),
        ((), {"types": [1] * 3}, r"got 3 types for \d+ tokens, expected one for each"),
        ((), {"scores": [float("nan")] * 400}, "got score nan and type 2 of token '<unk>', expected numbers"),
        ((), {"types": [1] * 400}, "v.gguf has no SentencePiece vocabulary: .*unk is not defined"),
        ((), {"tokens": ["<unk>", *["a"] * 399]}, "v.gguf has no SentencePiece vocabulary: .*already defined"),
    ],
)
def test_gguf_vocabularies_that_do_not_fit_together(
    left_out: tuple[str, ...], changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    size = processor("bpe").get_piece_size()
    sized = {key: value[:size] if len(value) > 3 else value for key, value in changed.items()}
    assert size <= 400
    with pytest.raises(ModelError, match=message):
        load_tokenizer(str(as_gguf(tmp_path / "v.gguf", "bpe", left_out, **sized)))


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_model_is_refused_or_harmless(seed: int, tmp_path: Path) -> None:
    random, kind = Random(seed), list(KINDS)[seed % len(KINDS)]
    content = bytearray(model(kind))
    for _ in range(1 + seed % 4):
        at = random.randrange(max(0, len(content) - 9000), len(content)) if seed % 2 else random.randrange(len(content))
        if seed % 3 == 0:
            content[at : at + random.randrange(9)] = random.randbytes(random.randrange(9))
        else:
            content[min(at, len(content) - 1)] ^= 1 << random.randrange(8)
    if seed % 7 == 0:
        del content[random.randrange(len(content)) :]
    path = written(tmp_path / "m", bytes(content))
    with warnings.catch_warnings(), suppress(ModelError):
        warnings.simplefilter("ignore", ModelWarning)
        tokenizer = load_tokenizer(str(path))
        assert isinstance(tokenizer.decode(tokenizer.encode("The quick 日本 <s>\n")), str)


def test_a_folder_is_read_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "m", model("unigram"))
    pieces = of_folder(path, {})
    assert (pieces.prefixes, pieces.collapses) == (True, True)
    assert pieces.processor.encode("The quick") == processor("unigram").encode("The quick")
