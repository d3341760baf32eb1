"""The order of turns: turned about each round, and begun with either end."""

from __future__ import annotations

import pytest

from attnlab.bench.measuring.interleaving import interleave


def test_the_order_is_turned_about_and_who_is_out_stays_out() -> None:
    members = ["a", "b", "c"]
    order = []
    for number, member in interleave(members, 3):
        order.append(f"{number}{member}")
        if (number, member) == (1, "c"):
            members.remove("b")
    assert order == ["0a", "0b", "0c", "1c", "1b", "1a", "2a", "2c"]


@pytest.mark.parametrize(("start", "order"), [(0, "abba"), (1, "baab"), (2, "abba"), (7, "baab")])
def test_an_odd_start_begins_with_the_last(start: int, order: str) -> None:
    turns = list(interleave("ab", 2, start))
    assert "".join(member for _, member in turns) == order
    assert [number for number, _ in turns] == [0, 0, 1, 1], "rounds count from 0 all the same"
