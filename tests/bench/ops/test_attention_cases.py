"""Cases of attention: ids that never change, and every impossible case with its message."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import ImpossibleCase, UnknownName
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase

DEFAULTS = {
    "batch": 1,
    "q_heads": 8,
    "kv_heads": 8,
    "packed": (),
    "q_len": 1024,
    "kv_len": 1024,
    "head_dim": 64,
    "v_head_dim": 64,
    "dtype": "bfloat16",
    "mask": Mask("full"),
    "inputs": "normal",
    "packed_keys": (),
    "softcap": None,
    "sinks": "none",
    "bias": Bias(),
    "qk_norm": "none",
}
FROZEN: dict[str, dict[str, Any]] = {
    "bf16": {},
    "fp32": {"dtype": "float32"},
    "Hq32-Hkv8-Sq4096-D128-bf16-causal": {
        "q_heads": 32,
        "kv_heads": 8,
        "q_len": 4096,
        "kv_len": 4096,
        "head_dim": 128,
        "v_head_dim": 128,
        "mask": Mask("causal"),
    },
    "B4-Hkv1-Sq1-Sk2048-fp16": {
        "batch": 4,
        "kv_heads": 1,
        "q_len": 1,
        "kv_len": 2048,
        "dtype": "float16",
    },
    "Hq2-Sq512-Sk4097-D80-Dv96-fp32-window.256": {
        "q_heads": 2,
        "kv_heads": 2,
        "q_len": 512,
        "kv_len": 4097,
        "head_dim": 80,
        "v_head_dim": 96,
        "dtype": "float32",
        "mask": Mask("window", 256),
    },
    "packed100+37+900-bf16-causal": {
        "packed": (100, 37, 900),
        "q_len": 1037,
        "kv_len": 1037,
        "mask": Mask("causal"),
        "packed_keys": (100, 37, 900),
    },
    "bf16-outliers": {"inputs": "outliers"},
    "Hq9-Hkv3-Sq512-bf16-causal-smollm2": {
        "q_heads": 9,
        "kv_heads": 3,
        "q_len": 512,
        "kv_len": 512,
        "mask": Mask("causal"),
        "inputs": "smollm2",
    },
    "Hq9-Hkv3-Sq64-Sk128-fp16-causal-smollm2.1.prose": {
        "q_heads": 9,
        "kv_heads": 3,
        "q_len": 64,
        "kv_len": 128,
        "dtype": "float16",
        "mask": Mask("causal"),
        "inputs": "smollm2:1:prose",
    },
    "packed100+0+9-keys300+20+9-bf16-chunked.16-cap30-sink_learned-bias_alibi": {
        "packed": (100, 0, 9),
        "packed_keys": (300, 20, 9),
        "q_len": 109,
        "kv_len": 329,
        "mask": Mask("chunked", 16),
        "softcap": 30.0,
        "sinks": "learned",
        "bias": Bias("alibi"),
    },
    "Sk500-bf16-tree.4x2-cap2.5-sink_zero": {
        "q_len": 13,
        "kv_len": 500,
        "mask": Mask("tree", parents=(0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4)),
        "softcap": 2.5,
        "sinks": "zero",
    },
    "bf16-document.100+0+37-bias_relative.32": {
        "q_len": 137,
        "kv_len": 137,
        "mask": Mask("document", documents=(100, 0, 37)),
        "bias": Bias("relative", 32),
    },
}
"""Ids that are stored in results. They stand for these cases for ever: add to the list, and change nothing."""
NORMED: dict[str, Any] = {"qk_norm": "rms"}

SIZES = st.integers(1, 5000)
BUILT = st.builds(
    lambda kv_heads, group, lengths, window, **axes: AttentionCase(
        kv_heads=kv_heads, q_heads=kv_heads * group, mask=window, **lengths, **axes
    ),
    kv_heads=st.integers(1, 16),
    group=st.integers(1, 16),
    lengths=st.one_of(
        st.fixed_dictionaries({"packed": st.lists(SIZES, min_size=1, max_size=4).map(tuple)}),
        st.fixed_dictionaries({"batch": SIZES, "q_len": SIZES}),
        st.fixed_dictionaries({"batch": SIZES, "q_len": SIZES, "kv_len": SIZES}),
    ),
    window=st.one_of(st.sampled_from(["full", "causal"]), SIZES.map(lambda w: f"window:{w}")),
    head_dim=SIZES,
    v_head_dim=SIZES,
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    inputs=st.sampled_from(["normal", "outliers"]),
)


@pytest.mark.parametrize("kind", [AttentionCase, AttentionBackwardCase])
@pytest.mark.parametrize(("case_id", "axes"), FROZEN.items())
def test_stored_ids_stand_for_the_same_case_for_ever(kind: type[AttentionCase], case_id: str, axes: Any) -> None:
    case = kind.parse(case_id)
    assert {name: getattr(case, name) for name in DEFAULTS} == {**DEFAULTS, **axes}
    assert case.id == case_id


def test_no_axis_is_untested() -> None:
    assert set(AttentionCase.axes()) == set(DEFAULTS)
    assert {name for axes in (*FROZEN.values(), NORMED) for name in axes} == set(DEFAULTS)


def test_a_norm_is_of_attention_alone() -> None:
    assert AttentionCase(**NORMED).id == "bf16-qk_rms"
    with pytest.raises(ImpossibleCase, match="got qk_norm=rms; expected none: gradients are by normed"):
        AttentionBackwardCase(**NORMED)


@given(BUILT)
def test_ids_and_values_read_back(case: AttentionCase) -> None:
    assert AttentionCase.parse(case.id) == case
    assert AttentionCase.build(case.values()) == case
    assert str(case) == case.id
    assert not set(case.id) & set(':/\\ *?"<>|')


def test_an_operator_is_registered_by_its_name() -> None:
    assert registry.operators.get("attention") is ATTENTION
    assert registry.operators.get("attention_backward") is ATTENTION_BACKWARD
    assert AttentionBackwardCase.parse("bf16") != AttentionCase.parse("bf16")


def test_spellings_of_a_user() -> None:
    assert AttentionCase(packed="3+4") == AttentionCase(packed=(3, 4)) == AttentionCase(packed=[3, 4])  # type: ignore[arg-type]
    assert AttentionCase(packed="none") == AttentionCase()  # type: ignore[arg-type]
    assert AttentionCase(mask="window:4").mask == Mask("window", 4)  # type: ignore[arg-type]
    assert AttentionCase(q_heads=9, kv_heads=3, q_len=64, inputs="smollm2:13:prose").inputs == "smollm2"


def test_sequences_and_pairs() -> None:
    assert AttentionCase(batch=2, q_len=3, kv_len=5).sequences == [(3, 5), (3, 5)]
    assert AttentionCase(packed=(2, 3)).sequences == [(2, 2), (3, 3)]
    assert AttentionCase(packed=(2, 3), mask=Mask("causal")).pairs == 3 + 6
    assert AttentionCase(head_dim=16).scale == 0.25


def test_an_unknown_axis_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown axis of attention 'kv_head'; did you mean 'kv_heads'\?"):
        AttentionCase.build({"kv_head": 2})
    with pytest.raises(UnknownName, match=r"unknown axis of attention_backward 'maks'; did you mean 'mask'\?"):
        AttentionBackwardCase.build({"maks": "full"})


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"q_heads": 6, "kv_heads": 4}, "got q_heads=6 and kv_heads=4; expected query heads divisible by"),
        ({"q_heads": 2, "kv_heads": 4}, "expected query heads divisible by key-value heads"),
        ({"batch": 0}, "axis batch: got 0; expected a whole number of at least 1"),
        ({"q_len": -1}, "axis q_len: got -1; expected a whole number of at least 1"),
        ({"kv_len": "many"}, "axis kv_len: got 'many'; expected a whole number"),
        ({"head_dim": 0}, "axis head_dim: got 0"),
        ({"v_head_dim": 2.5}, "axis v_head_dim: got 2.5"),
        ({"dtype": "float64"}, "axis dtype: unknown dtype 'float64'; expected one of float32, float16, bfloat16"),
        ({"mask": "casual"}, "axis mask: unknown mask 'casual'; expected one such as full, causal"),
        ({"mask": "window:0"}, "axis mask: got a window of '0'"),
        ({"inputs": "gaussian"}, "axis inputs: unknown source of inputs 'gaussian'; expected normal, outliers"),
        ({"inputs": "smollm2:3"}, "axis inputs: unknown source of inputs 'smollm2:3'"),
        ({"packed": "0+0"}, "axis packed: got '0+0'; expected lengths such as 100+37+900, not all of them 0"),
        ({"packed": "5,3"}, "axis packed: got '5,3'"),
        ({"packed": (5, -1)}, "axis packed: got (5, -1)"),
        ({"packed": (5, 3), "batch": 2}, "got packed=5+3 with batch=2"),
        ({"packed": (5, 3), "q_len": 4}, "expected batch=1 and both lengths the sum 8: leave them out"),
        ({"packed": (5, 3), "kv_len": 9}, "q_len=8, kv_len=9; expected batch=1 and both lengths the sum 8"),
        ({"inputs": "smollm2"}, "expected (9, 3, 64, 64), the model's own: set those axes, or take inputs=normal"),
        (
            {"inputs": "smollm2:30:prose", "q_heads": 9, "kv_heads": 3},
            "got layer 30; expected 0 to 29",
        ),
        (
            {"inputs": "smollm2", "q_heads": 9, "kv_heads": 3, "q_len": 65, "kv_len": 64},
            "got 1 × 64 keys for 65 queries; expected keys for each query",
        ),
        (
            {"inputs": "smollm2", "q_heads": 9, "kv_heads": 3, "batch": 1000},
            "got 1000 × 1024 keys",
        ),
    ],
)
def test_impossible_cases_say_what_was_got_and_expected(axes: dict[str, Any], says: str) -> None:
    with pytest.raises(ImpossibleCase, match=re.escape(says)):
        AttentionCase.build(axes)
