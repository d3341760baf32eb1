"""The fast decoder and the strict one accept and refuse the same, over real measurements that were tampered with."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.bench.store.codec import decode, decode_text
from attnlab.bench.store.records import SCHEMA_VERSION, Measurement
from attnlab.bench.store.strict_codec import decode_strictly
from attnlab.bench.store.upgrades import upgraded

FIXTURES = Path(__file__).parent / "fixtures"
RESULTS = Path(__file__).parents[3] / "results"
ODD = [None, True, False, 0, -1, 1.5, 2.0, 2**63, 10**30, 10**400, math.nan, math.inf, "", "7", "passed", "\udce9"]
ODD += [[], [None], [1], ["a"], [[]], {}, {"a": None}, {"a": 1}, {"name": "a"}]


@cache
def measurements() -> list[dict[str, Any]]:
    """Real ones in today's schema, the most unlike first: of each implementation and outcome one."""
    files = [*FIXTURES.glob("*/measurements.jsonl"), *RESULTS.glob("*-quick/measurements.jsonl")]
    found = [upgraded(json.loads(line)) for file in sorted(files) for line in file.read_text().splitlines()]
    return list({(m["operator"], m["implementation"], m["outcome"]): m for m in found}.values())


def places(data: Any) -> list[tuple[Any, Any]]:
    """Each object or array of JSON values, with each of its keys or indices."""
    keys = list(data) if isinstance(data, dict) else range(min(3, len(data))) if isinstance(data, list) else ()
    return [place for key in keys for place in ((data, key), *places(data[key]))]


def tamper(draw: Callable[[st.SearchStrategy[Any]], Any], data: dict[str, Any]) -> None:
    """Replace, leave out or add something anywhere."""
    holder, key = draw(st.sampled_from(places(data)))
    what = draw(st.sampled_from(["replace", "leave out", "add"]))
    if what == "leave out":
        del holder[key]
    elif what == "add" and isinstance(holder, dict):
        added = draw(st.sampled_from(["colour", "", "\udce9", "plan", "state"]))
        holder[added] = copy.deepcopy(draw(st.sampled_from(ODD)))
    else:
        holder[key] = copy.deepcopy(draw(st.sampled_from(ODD)))


def told(decoder: Callable[[type[Measurement], Any], Measurement], data: Any) -> str:
    """What it makes of the values, or why it refuses them; NaN and the types of numbers show."""
    try:
        return repr(decoder(Measurement, data))
    except ValueError as error:
        return f"refused: {error}"


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_the_fast_decoder_is_as_strict(data: st.DataObject) -> None:
    measurement = copy.deepcopy(data.draw(st.sampled_from(measurements())))
    for _ in range(data.draw(st.integers(1, 3))):
        tamper(data.draw, measurement)
    assert told(decode, measurement) == told(decode_strictly, measurement)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_text_is_read_as_its_values_are_or_not_at_once(data: st.DataObject) -> None:
    measurement = today(data.draw(st.sampled_from(measurements())))
    for _ in range(data.draw(st.integers(1, 2))):
        tamper(data.draw, measurement)
    text = json.dumps(measurement).encode()
    at_once = decode_text(Measurement, text, [SCHEMA_VERSION])
    assert at_once is None or repr(at_once) == told(decode, json.loads(text))


def today(measurement: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(measurement) | {"schema_version": SCHEMA_VERSION}


@pytest.mark.parametrize("version", [None, "5", SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_a_text_of_another_schema_is_not_read_at_once(version: object) -> None:
    text = json.dumps(measurements()[0] | {"schema_version": version}).encode()
    assert decode_text(Measurement, text, [SCHEMA_VERSION]) is None


def test_what_was_not_tampered_with_is_read_alike() -> None:
    assert len(measurements()) > 30
    for measurement in measurements():
        text = json.dumps(today(measurement)).encode()
        assert repr(decode_text(Measurement, text, [SCHEMA_VERSION])) == told(decode, today(measurement))
        assert told(decode, measurement) == told(decode_strictly, measurement)
        assert not told(decode, measurement).startswith("refused")
