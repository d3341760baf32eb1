"""Prompts have exactly the tokens asked for, keep the template whole, and differ from their first word on."""

from __future__ import annotations

import itertools

import pytest
import torch

from attnlab.bench.errors import UnknownName, UsageError
from attnlab.bench.llm.captured.texts import DATA as CAPTURED
from attnlab.bench.llm.models.chat import ChatTemplate
from attnlab.bench.llm.models.prompts import prompt_ids, prompt_sets, prompt_texts, random_ids
from attnlab.bench.llm.models.prompts.texts import DATA, SETS
from attnlab.bench.llm.models.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="package tokenizers is not installed")

TEMPLATE = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}<s>assistant:"
TAIL = "</s>\n<s>assistant:"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A byte-level vocabulary of 2000 tokens with a chat template."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    backend.train_from_iterator([path.read_text(encoding="utf-8") for path in CAPTURED.glob("*.txt")], trainer)
    return Tokenizer(backend, 2000, bos_id=0, eos_ids=(1,), chat=ChatTemplate(TEMPLATE))


def shared(first: list[int], second: list[int]) -> int:
    """Tokens that both begin with."""
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=True))))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("tokens", [72, 500])
def test_prompts_are_exact_whole_and_different(name: str, tokens: int, tokenizer: Tokenizer) -> None:
    texts = prompt_texts(name, tokenizer, 12, tokens, seed=1)
    ids = prompt_ids(name, tokenizer, 12, tokens, seed=1)
    assert (ids.dtype, ids.shape) == (torch.int64, (12, tokens))
    assert ids.tolist() == [tokenizer.encode(text) for text in texts]
    assert all(text.endswith(TAIL) and text.startswith("<s>user\n") for text in texts)
    header = max(len(tokenizer.encode(f"<s>user\n{instruction}\n\n")) for instruction in SETS[name].instructions)
    rows = ids.tolist() + prompt_ids(name, tokenizer, 12, tokens, seed=2).tolist()
    assert max(itertools.starmap(shared, itertools.combinations(rows, 2))) <= header + 6
    assert torch.equal(prompt_ids(name, tokenizer, 12, tokens, seed=1), ids)


def test_long_prompts_go_on_with_further_texts(tokenizer: Tokenizer) -> None:
    (text,) = prompt_texts("chat", tokenizer, 1, 3000)
    assert all(item[-40:] in text for item in SETS["chat"].items)
    bare = Tokenizer(tokenizer.backend, 2000, bos_id=None, eos_ids=(), chat=None)
    (plain,) = prompt_texts("chat", bare, 1, 100)
    assert plain.startswith("Please answer my questions.\n\n")
    assert len(bare.encode(plain)) == 100


@pytest.mark.parametrize("name", SETS)
def test_sets_hold_several_texts_and_begin_at_sense(name: str) -> None:
    texts = SETS[name]
    assert len(texts.items) == len(list(DATA.glob(f"{name}-*.txt"))) == 6
    assert len(texts.starts) == len(set(texts.starts)) > 600
    for item, offset in texts.starts[:20]:
        assert offset == 0 or texts.items[item][offset - 1] in " \n"
        assert not texts.items[item][offset].isspace()
    assert all("\n" not in item for item in SETS["chat"].items)
    assert all(400 <= len(item.split()) <= 600 for item in SETS["summarise"].items)


def test_every_text_belongs_to_a_set() -> None:
    assert {path.name.partition("-")[0] for path in DATA.iterdir()} == set(SETS)
    assert prompt_sets() == (*SETS, "random")


def test_random_prompts_need_no_tokenizer(tokenizer: Tokenizer) -> None:
    ids = prompt_ids("random", None, 3, 50, seed=4, vocab_size=512)
    assert torch.equal(ids, random_ids(512, 3, 50, seed=4))
    assert not torch.equal(ids, random_ids(512, 3, 50, seed=5))
    assert 400 < int(ids.max()) < 512
    assert int(prompt_ids("random", tokenizer, 3, 500).max()) > 1900
    with pytest.raises(UsageError, match="random prompts need vocab_size"):
        prompt_ids("random", None, 1, 5)


@pytest.mark.parametrize(
    ("name", "count", "tokens", "message"),
    [
        ("summarise", 1, 20, r"got prompts of 20 tokens; expected more than \d+, which template and instruction"),
        ("chat", 5000, 100, r"got 5000 prompts, expected 1 to the \d+ that 'chat' has places for"),
        ("chat", 0, 100, "got 0 prompts"),
    ],
)
def test_what_cannot_be_is_refused(name: str, count: int, tokens: int, message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match=message):
        prompt_ids(name, tokenizer, count, tokens)


def test_sets_are_known_by_name(tokenizer: Tokenizer) -> None:
    with pytest.raises(UnknownName, match="did you mean 'summarise'"):
        prompt_ids("summarize", tokenizer, 1, 100)
    with pytest.raises(UsageError, match="prompts of 'chat' need a tokenizer; without one, take 'random'"):
        prompt_ids("chat", None, 1, 100)
