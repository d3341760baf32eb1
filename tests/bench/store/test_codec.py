"""Dataclasses to JSON and back, and what is refused on the way."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench.store.codec import decode, encode


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    colour: Colour
    ratio: float
    maybe: float | None = None
    label: str | None = None
    by_name: dict[str, float] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)
    good: bool = True


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
wholes = st.builds(
    Whole,
    parts=st.lists(st.builds(Part, texts, st.lists(st.integers(), max_size=3).map(tuple)), max_size=3).map(tuple),
    colour=st.sampled_from(Colour),
    ratio=finite,
    maybe=st.none() | finite,
    label=st.none() | texts,
    by_name=st.dictionaries(texts, finite, max_size=3),
    anything=st.dictionaries(texts, st.none() | st.booleans() | texts | st.integers(), max_size=3),
    good=st.booleans(),
)


@given(wholes)
def test_what_is_encoded_decodes_to_itself(whole: Whole) -> None:
    text = json.dumps(encode(whole), allow_nan=False)
    assert decode(Whole, json.loads(text)) == whole


def test_numbers_that_are_not_finite_become_null() -> None:
    encoded = encode(Whole((), Colour.RED, math.inf, maybe=math.nan, by_name={"a": -math.inf}))
    assert (encoded["ratio"], encoded["maybe"], encoded["by_name"]) == (None, None, {"a": None})
    back = decode(Whole, encoded)
    assert math.isnan(back.ratio)
    assert back.maybe is None


def test_whole_numbers_are_numbers() -> None:
    back = decode(Whole, {"parts": [], "colour": "red", "ratio": 3})
    assert back.ratio == 3.0
    assert isinstance(back.ratio, float)


GOOD = {"parts": [{"name": "a", "sizes": [1]}], "colour": "red", "ratio": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colours": 1}, "Whole has unknown keys: colours"),
        ({"ratio": "much"}, "Whole.ratio: got 'much', expected int or float"),
        ({"ratio": True}, "Whole.ratio: got True, expected int or float"),
        ({"ratio": 10**400}, "Whole.ratio: got a number of 401 digits"),
        ({"good": 1}, "Whole.good: got 1, expected bool"),
        ({"label": 5}, "Whole.label: got 5, expected str"),
        ({"colour": "green"}, "Whole.colour: got 'green', expected one of red, blue"),
        ({"colour": ["red"]}, "Whole.colour: got"),
        ({"parts": {}}, "Whole.parts: got {}, expected list"),
        ({"parts": [3]}, "Whole.parts: got 3, expected dict"),
        ({"parts": [{"sizes": []}]}, "Whole.parts lacks: name"),
        ({"parts": [{"name": "a", "sizes": [1.5]}]}, "Whole.parts.sizes: got 1.5, expected int"),
        ({"by_name": {"a": "b"}}, "Whole.by_name.a: got 'b', expected int or float"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        decode(Whole, GOOD | change)
    assert message in str(error.value)


@pytest.mark.parametrize("data", [None, 3, "text", [], True])
def test_a_record_is_an_object(data: Any) -> None:
    with pytest.raises(ValueError, match=r"Whole: got .* expected dict"):
        decode(Whole, data)
