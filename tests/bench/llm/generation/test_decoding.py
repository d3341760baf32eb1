"""Spellings of ways to decode."""

from __future__ import annotations

import pytest

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.generation.decoding import Decoding


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("greedy", "greedy"),
        ("sample", "sample"),
        ("sample:t0.8:p0.95", "sample:t0.8:p0.95"),
        ("sample:t0:8:k50", "sample:t0.8:k50"),
        ("prompt_lookup", "prompt_lookup:4"),
        ("prompt_lookup:7:t1", "prompt_lookup:7:t1"),
        ("draft_model:3", "draft_model:3"),
        ("beam", "beam:4"),
        ("synthetic:4:a0.8", "synthetic:4:a0.8"),
        ("synthetic:2:a0.9:a0:5:c0.10", "synthetic:2:a0.9:a0.5:c0.1"),
        ("synthetic:3:a0.5:a0.5:a0.5:c0", "synthetic:3:a0.5"),
        ("synthetic:a1", "synthetic:4:a1"),
    ],
)
def test_read_and_written(text: str, written: str) -> None:
    read = Decoding.read(text)
    assert read.write() == written
    assert Decoding.read(read.write().replace(".", ":")) == read, "as an id has it"


def test_what_they_mean() -> None:
    assert Decoding.read("greedy").greedy
    assert not Decoding.read("sample").greedy
    assert Decoding.read("sample:t0").greedy
    assert Decoding.read("prompt_lookup:5").greedy
    assert Decoding.read("prompt_lookup:5").guesses == 5
    assert not Decoding.read("draft_model:5:t1").greedy
    assert not Decoding.read("beam:3").greedy
    assert Decoding.read("beam:3").guesses == 0
    told = Decoding.read("synthetic:2:a0.9:c0.25")
    assert told.greedy
    assert told.guesses == 2
    assert told.synthetic is not None
    assert told.synthetic.chances == (0.9, 0.9)
    assert told.synthetic.cost == 0.25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hopefully", "expected one of greedy, sample"),
        ("prompt_lookup:0", "got 0 in decoding"),
        ("prompt_lookup:64", "expected 1 to 63"),
        ("greedy:t1", "expected greedy without t1"),
        ("beam:4:t1", "expected beam without t1"),
        ("sample:p0", "top_p"),
        ("sample:k0", "top_k"),
        ("sample:x1", "expected letters"),
        ("synthetic:4", "without a chance to be right; expected synthetic:GUESSES:aCHANCE"),
        ("synthetic:4:a1.2", "got the chance 1.2 in 'a1.2'; expected 0 to 1"),
        ("synthetic:0:a0.5", "got 0 in decoding"),
        ("synthetic:3:a0.5:a0.4", "got 2 chances in 'a0.5:a0.4' for 3 guesses; expected one for all, or one for each"),
        ("synthetic:3:a0.5:c1:c2", "got 2 costs"),
        ("synthetic:3:c1", "got 0 chances"),
        ("synthetic:3:a-0.5", "got 'a-0.5' for synthetic guesses"),
        ("synthetic:3:a0.5:t1", "got 'a0.5:t1' for synthetic guesses"),
    ],
)
def test_bad_spellings(text: str, said: str) -> None:
    with pytest.raises(ImpossibleCase) as raised:
        Decoding.read(text)
    assert said in str(raised.value)
