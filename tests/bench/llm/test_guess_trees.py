"""Trees of guesses: what a spelling stands for, and that the shortest one reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench.llm.guess_trees import depths_of, read_tree, written_tree


@pytest.mark.parametrize(
    ("text", "parents", "written"),
    [
        ("2x2", (0, 0, 1, 1, 2, 2), "2x2"),
        ("1x1x1", (0, 1, 2), "1x1x1"),
        ("3", (0, 0, 0), "3"),
        ("0", (0,), "1"),
        ("0+0+1", (0, 0, 1), "0+0+1"),
        ("0+1+2", (0, 1, 2), "1x1x1"),
        ("0+0+2+1", (0, 0, 2, 1), "0+0+2+1"),
    ],
)
def test_spellings(text: str, parents: tuple[int, ...], written: str) -> None:
    assert read_tree(text) == parents
    assert written_tree(parents) == written


def test_depths_by_hand() -> None:
    assert depths_of((0, 0, 1, 3)) == [0, 1, 1, 2, 3]


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20))
def test_what_is_written_reads_back(picks: list[int]) -> None:
    parents = tuple(pick % node for node, pick in enumerate(picks, start=1))
    assert read_tree(written_tree(parents)) == parents
