"""No false alarm: honest implementations pass the check on cases drawn at random, the same ones each time."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from attnlab.bench.ops.attention_backward import AttentionBackwardCase
from attnlab.bench.store.records import Outcome

from .drawn import attention_cases, variant_cases

STEADY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def same_value_size(case):
    return case.head_dim == case.v_head_dim


@settings(STEADY, max_examples=70)
@given(case=attention_cases())
def test_eager_and_sdpa(case, conform):
    for name in ("naive", "tiled", "sdpa_math"):
        assert conform("attention", name, case, "cpu") == (Outcome.PASSED, None), name
    outcome, reason = conform("attention", "sdpa_flash", case, "cpu")
    assert (outcome is Outcome.PASSED) == same_value_size(case), reason


@settings(STEADY, max_examples=35)
@given(case=attention_cases())
def test_backward(case, conform):
    case = AttentionBackwardCase.build(case.values())
    for name in ("naive", "sdpa_math"):
        assert conform("attention_backward", name, case, "cpu") == (Outcome.PASSED, None), name
    outcome, reason = conform("attention_backward", "sdpa_flash", case, "cpu")
    assert (outcome is Outcome.PASSED) == (same_value_size(case) and case.dtype == "float32"), reason


@settings(STEADY, max_examples=50)
@given(case=variant_cases())
def test_variants(case, conform):
    for name in ("naive", "tiled"):
        assert conform("attention", name, case, "cpu") == (Outcome.PASSED, None), name
    for name in ("sdpa_math", "sdpa_flash"):
        outcome, reason = conform("attention", name, case, "cpu")
        assert (outcome is Outcome.PASSED) == (case.softcap is None), reason


@settings(STEADY, max_examples=25)
@given(case=variant_cases())
def test_variants_backward(case, conform):
    case = AttentionBackwardCase.build(case.values() | {"qk_norm": "none"})
    assert conform("attention_backward", "naive", case, "cpu") == (Outcome.PASSED, None)
    outcome, reason = conform("attention_backward", "sdpa_math", case, "cpu")
    assert (outcome is Outcome.PASSED) == (case.softcap is None), reason


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a shape compiles for 3 to 10 seconds, and for longer on a busy machine
@pytest.mark.parametrize("name", ["compiled", "flex"])
@settings(STEADY, max_examples=6)
@given(case=attention_cases(head_dims=[16, 64, 80, 128]))
def test_compiled(name, case, conform):
    outcome, reason = conform("attention", name, case, "cpu")
    if reason is not None and reason.startswith("needs "):
        pytest.skip(reason)  # a compiler, or Python's headers
    assert (outcome, reason) == (Outcome.PASSED, None)
