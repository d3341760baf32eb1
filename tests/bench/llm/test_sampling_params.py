"""Sampling parameters: what is refused and how it says so, and the spelling that survives an id."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.bench import SamplingParams, UsageError
from attnlab.bench.contract.axes import Axis
from attnlab.bench.errors import SamplingError
from attnlab.bench.llm.sampling_params import PATTERN

WRONG = [
    ("top_p", (0, -0.1, 1.01, math.nan, math.inf, "0.9", None, True), "above 0 and at most 1|a number"),
    ("top_k", (0, -3, 1.5, 2.0, "5", True, math.nan), "a whole number of at least 1, or None"),
    ("temperature", (-0.1, math.nan, math.inf, -math.inf, "1", False), "0, which is greedy|a number"),
    ("min_p", (-0.1, 1, 1.5, math.nan), "0, which is no limit, to below 1"),
    ("repetition_penalty", (0, -1, math.nan, math.inf), "above 0; 1 is no penalty"),
]


@pytest.mark.parametrize(("name", "values", "expected"), WRONG)
def test_what_is_out_of_range_is_refused_by_name(name, values, expected):
    for value in values:
        with pytest.raises(SamplingError, match=f"got {name}=.*; expected.*({expected})") as caught:
            SamplingParams(**{name: value})
        assert isinstance(caught.value, UsageError)
        assert repr(value) in str(caught.value)


def test_what_is_at_the_edge_is_taken():
    SamplingParams(temperature=0, top_k=1, top_p=1, min_p=0, repetition_penalty=1e-3)
    SamplingParams(temperature=1e-30, top_k=10**9, top_p=1e-9, min_p=1 - 1e-9)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("t0.8:k50:p0.95", SamplingParams(0.8, 50, 0.95)),
        ("p0.9", SamplingParams(top_p=0.9)),
        ("t0", SamplingParams(0)),
        ("r1.1:t0", SamplingParams(0, repetition_penalty=1.1)),
        ("m0.05:t1.5", SamplingParams(1.5, min_p=0.05)),
    ],
)
def test_short_spellings(text, params):
    assert SamplingParams.parse(text) == params
    assert SamplingParams.parse(text.replace(":", ".")) == params


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (SamplingParams(), "t1"),
        (SamplingParams(0.8, 50, 0.95), "t0.8:k50:p0.95"),
        (SamplingParams(1e-7, min_p=0.05, repetition_penalty=1.25), "t0.0000001:m0.05:r1.25"),
        (SamplingParams(100), "t100"),
    ],
)
def test_the_spelling_is_the_shortest(params, text):
    assert str(params) == text


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.builds(
        SamplingParams,
        st.floats(0, 100),
        st.none() | st.integers(1, 10**6),
        st.floats(0, 1, exclude_min=True),
        st.floats(0, 1, exclude_max=True),
        st.floats(1e-3, 1e3),
    )
)
def test_any_parameters_come_back_from_an_id(params):
    decoding = Axis("sample:", PATTERN, SamplingParams.parse, str, "how tokens are drawn", lambda case: None)
    token = decoding.token(params)
    assert "-" not in token
    assert decoding.from_token(token) == params


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t0.8:t0.9", "gives temperature twice"),
        ("x5", "expected letters t \\(temperature\\), k \\(top_k\\)"),
        ("", "expected letters"),
        ("t-1", "expected letters"),
        ("t", "expected letters"),
        ("k2.5", "got top_k='2.5'; expected a whole number"),
        ("p0", "got top_p=0.0; expected a number above 0"),
        ("t1e-5", "expected letters"),
    ],
)
def test_a_spelling_that_is_none(text, said):
    with pytest.raises(SamplingError, match=said):
        SamplingParams.parse(text)


def test_it_needs_no_torch():
    code = (
        "import sys; from attnlab.bench import SamplingParams\n"
        "print(SamplingParams.parse('k5')); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("t1:k5\n", "")
