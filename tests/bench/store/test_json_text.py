"""What a stored JSON text says is printable and short, however it is spelled."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench.store.json_text import values_of
from attnlab.bench.text import LONGEST_STORED, cleaned

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(values, st.booleans())
def test_values_are_clean_however_they_are_spelled(data: Any, in_ascii: bool) -> None:
    assert values_of(json.dumps(data, ensure_ascii=in_ascii)) == cleaned(data)


ESCAPES = ["\\\\", "\\n", '\\"', "\\u001b", "\\u00D7", "\\u202e", "\\ud800", "\\b", "\\/", "u", "x"]


@given(st.lists(st.sampled_from(ESCAPES)))
def test_escapes_are_found_behind_one_another(parts: list[str]) -> None:
    text = f'"{"".join(parts)}"'
    assert values_of(text) == cleaned(json.loads(text))


@pytest.mark.parametrize("character", [chr(code) for code in (*range(32), 127)])
def test_a_control_character_as_such_is_refused_or_cleaned(character: str) -> None:
    text = f'"a{character}b"'
    try:
        found = values_of(text)
    except ValueError:
        return
    assert found == cleaned(f"a{character}b")


def test_a_long_text_is_cut() -> None:
    assert len(values_of(json.dumps({"a": "x" * 1_000_000}))["a"]) <= LONGEST_STORED


def test_numbers_are_what_json_says() -> None:
    text = f"[NaN, Infinity, -Infinity, 1e400, {'9' * 100}, -0, {2**64}, 0.1]"
    not_a_number, *others = values_of(text)
    assert math.isnan(not_a_number)
    assert others == [math.inf, -math.inf, math.inf, int("9" * 100), 0, 2**64, 0.1]
    assert [type(value) for value in others] == [float, float, float, int, int, int, float]


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert values_of('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize("text", ["", "{", "[1,]", "01", '"a\nb"', "{}{}", "9" * 5000, "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        values_of(text)
