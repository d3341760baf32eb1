"""Texts of quality: the ids that ship, and windows over them."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.captured.texts import token_ids
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.quality.texts import RANDOM, RANDOM_TOKENS, text_ids, tokens_of, windows_of


def never() -> None:
    raise AssertionError("a tokenizer was asked for")


class Letters:
    """A tokenizer that has an id for each letter."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def test_shipped_ids_want_no_tokenizer() -> None:
    assert torch.equal(text_ids("code", PACKAGED, never, 49152), token_ids("code"))
    random = text_ids(RANDOM, "toy", never, 512)
    assert random.shape == (RANDOM_TOKENS,)
    assert int(random.max()) < 512


def test_other_models_encode_the_text() -> None:
    letters = Letters()
    ids = text_ids("prose", "a/model.gguf", lambda: letters, 512)  # type: ignore[arg-type, return-value]
    assert len(ids) > len(token_ids("prose"))
    assert "".join(map(chr, text_ids("prompts", "a/model.gguf", lambda: letters, 512)[:9].tolist())).strip()  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match="needs a tokenizer, and toy has none; take 'random'"):
        text_ids("prompts", "toy", lambda: None, 512)


def test_windows_begin_a_stride_after_each_other_and_go_round() -> None:
    ids = torch.arange(10)
    assert windows_of(ids, 4, 3, 2).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert windows_of(ids, 4, 4, 1, offset=8).tolist() == [[8, 9, 0, 1]]
    assert tokens_of(4, 3, 2) == 7
