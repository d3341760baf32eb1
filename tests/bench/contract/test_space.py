"""Search spaces: what is declared, what is refused, and an implementation with a configuration of its own."""

from __future__ import annotations

from typing import Any

import pytest

from attnlab.bench import Registry, Space, implements
from attnlab.bench.contract.space import label, variant
from attnlab.bench.errors import PluginError, UnknownName, UsageError

TILES = Space({"rows": (16, 32), "order": ("up", "down")}, default=lambda case: {"rows": 16, "order": "up"})


def registered(target: Any, space: Any = TILES) -> Any:
    own = Registry()
    implements("toy", name="mine", into=own, space=space)(target)
    (made,) = own.all_implementations()
    return made


class Mine:
    """Remembers what it was given."""

    def prepare(self, case: Any, inputs: Any, chosen: Any = None) -> Any:
        return chosen

    def run(self, inputs: Any, state: Any) -> Any:
        return state


class Blind:
    """Takes no configuration."""

    def prepare(self, case: Any, inputs: Any) -> Any:
        return None

    def run(self, inputs: Any, state: Any) -> Any:
        return state


def test_every_combination_is_a_candidate() -> None:
    assert [label(one) for one in TILES.candidates()] == [
        "rows=16, order=up",
        "rows=16, order=down",
        "rows=32, order=up",
        "rows=32, order=down",
    ]


def test_it_can_be_narrowed() -> None:
    assert list(TILES.narrowed({"rows": (32,)}).axes.values()) == [(32,), ("up", "down")]
    with pytest.raises(UnknownName, match="unknown name of a configuration 'row'; did you mean 'rows'"):
        TILES.narrowed({"row": (32,)})
    with pytest.raises(UsageError, match="got rows=7; expected of 16, 32"):
        TILES.narrowed({"rows": (7,)})


@pytest.mark.parametrize(
    "axes", [{}, {"a b": (1,)}, {"a": ()}, {"a": [1]}, {"a": (1.5,)}, {"a": (-1,)}, {"a": ("x y",)}]
)
def test_axes_that_are_none(axes: Any) -> None:
    with pytest.raises(PluginError, match="search space"):
        Space(axes, default=lambda case: {})


def test_one_with_a_configuration_is_another_implementation() -> None:
    made = registered(Mine)
    other = made.configured({"rows": 32, "order": "up"})
    assert (made.name, other.name, other.variant_of) == ("mine", "mine+32-up", "mine")
    assert variant("mine", {"rows": 32, "order": "up"}) == other.name
    assert made.prepare("case", "inputs") is None
    assert other.prepare("case", "inputs") == {"rows": 32, "order": "up"}
    assert other.configuration("case") == "rows=32, order=up"
    assert dict(other.chosen) == {"rows": 32, "order": "up"}


def test_what_takes_no_configuration_has_no_space() -> None:
    for target in (Blind, lambda inputs: inputs):
        with pytest.raises(PluginError, match=r"prepare\(case, inputs, chosen=None\)"):
            registered(target)
    with pytest.raises(PluginError, match=r"space=Space\(…\)"):
        registered(Mine, space={"rows": (1,)})
