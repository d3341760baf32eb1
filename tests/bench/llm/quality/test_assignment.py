"""Which layer gets what: by hand, against every other assignment, and budgets that hold nothing."""

from __future__ import annotations

import itertools
import random

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.quality.assignment import assign, hull
from attnlab.bench.llm.quality.sensitivity import LayerCost


def costs(table: dict[str, tuple[int, tuple[float, ...]]]) -> list[LayerCost]:
    """By format: bytes of a layer, and its cost in each layer."""
    return [
        LayerCost(layer, format, kl, nbytes) for format, (nbytes, kls) in table.items() for layer, kl in enumerate(kls)
    ]


def test_the_layer_that_gains_most_gets_the_bytes() -> None:
    table = costs({"int4": (4, (0.5, 0.1, 0.3)), "int8": (8, (0.1, 0.0, 0.0))})
    assert assign(table, 12).formats == ("int4", "int4", "int4")
    found = assign(table, 17)
    assert (found.formats, found.nbytes, found.kl) == (("int8", "int4", "int4"), 16, pytest.approx(0.5))
    assert assign(table, 20).formats == ("int8", "int4", "int8")
    assert assign(table, 1e9).formats == ("int8", "int8", "int8")


def test_a_format_that_is_never_worth_its_bytes_is_left_out() -> None:
    choices = [LayerCost(0, *one) for one in (("a", 1.0, 4), ("b", 0.9, 6), ("c", 0.1, 8), ("worse", 1.2, 5))]
    assert [one.format for one in hull(choices)] == ["a", "c"]
    assert assign(choices, 6).formats == ("a",)  # which an exact knapsack would give to b: the hull is an approximation


def test_near_the_best_of_all() -> None:
    """With steps of one size, greedy is exact: no assignment within the budget loses less."""
    random.seed(4)
    table = costs(
        {"a": (4, tuple(random.random() + 1 for _ in range(6))), "b": (8, tuple(random.random() for _ in range(6)))}
    )
    by = {(cost.layer, cost.format): cost for cost in table}
    for budget in (24, 30, 33, 48):
        every = [[by[n, f] for n, f in enumerate(chosen)] for chosen in itertools.product("ab", repeat=6)]
        best = min(sum(c.kl for c in one) for one in every if sum(c.nbytes for c in one) <= budget)
        assert assign(table, budget).kl == pytest.approx(best)


def test_bad_input() -> None:
    with pytest.raises(UsageError, match=r"budget of 7 bytes for 2 layers; expected 8 or more, .* in int4"):
        assign(costs({"int4": (4, (0.5, 0.1)), "int8": (8, (0.1, 0.0))}), 7)
    with pytest.raises(UsageError, match="no layer to assign a format to"):
        assign([], 100)
