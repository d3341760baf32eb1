"""Operations and bytes of attention and its backward pass, against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench.llm.masks import Mask, permitted_pairs
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION, cumulative_lengths
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase

FORWARD = [
    # B 2, 4 query heads over 2: 2·3·5 = 30 pairs, each 2·(8+8) FLOP; (4·6·8 + 2·10·16 + 4·6·8) elements of 4 B
    ("B2-Hq4-Hkv2-Sq3-Sk5-D8-fp32", 2 * 16 * 30 * 4, (192 + 320 + 192) * 4),
    # 1+2+3+4 pairs
    ("Hq1-Sq4-D2-fp16-causal", 2 * 4 * 10, (8 + 16 + 8) * 2),
    # 3+4+5 pairs: the first query stands at the third key
    ("Hq1-Sq3-Sk5-D2-bf16-causal", 2 * 4 * 12, (6 + 20 + 6) * 2),
    # 0+0+1+2+3 pairs: two queries without keys are not read, their rows of zeros are written
    ("Hq1-Sq5-Sk3-D2-bf16-causal", 2 * 4 * 6, (6 + 12 + 10) * 2),
    # 1+2+2+2 pairs
    ("Hq1-Sq4-D2-fp16-window.2", 2 * 4 * 7, (8 + 16 + 8) * 2),
    # 2+2 pairs of the last three keys; the first three are not read
    ("Hq1-Sq2-Sk6-D2-fp16-window.2", 2 * 4 * 4, (4 + 12 + 4) * 2),
    # MQA: keys and values are read once for four heads
    ("Hq4-Hkv1-Sq4-D2-fp16-causal", 4 * 2 * 4 * 10, (32 + 16 + 32) * 2),
    # 1·1 + 3·3 pairs, and three cumulative lengths of 4 B
    ("Hq1-packed1+3-D2-fp16", 2 * 4 * 10, (8 + 16 + 8) * 2 + 12),
    # 1 + (1+2+3) pairs
    ("Hq1-packed1+3-D2-fp16-causal", 2 * 4 * 7, (8 + 16 + 8) * 2 + 12),
    # values of 6 beside keys of 2: 9 pairs of 2·(2+6) FLOP
    ("Hq1-Sq3-D2-Dv6-fp16", 2 * 8 * 9, (6 + 24 + 18) * 2),
    # a Llama-3-8B layer at 4,096 tokens: 4096·4097/2 pairs a head
    ("Hq32-Hkv8-Sq4096-D128-bf16-causal", 137_472_507_904, 83_886_080),
]

BACKWARD = [
    # five products a pair: 2·(3·2 + 2·2) = 20 FLOP; q, dout, k, v read, dq, dk, dv written
    ("Hq1-Sq4-D2-fp16-causal", 20 * 10, (8 + 8 + 16 + 8 + 16) * 2),
    ("Hq1-Sq5-Sk3-D2-bf16-causal", 20 * 6, (6 + 6 + 12 + 10 + 12) * 2),
    # keys that no query sees are not read, their gradients of zeros are written
    ("Hq1-Sq2-Sk6-D2-fp16-window.2", 20 * 4, (4 + 4 + 12 + 4 + 24) * 2),
    # 9 pairs for each of 4 heads, 2·(3·2 + 2·6) FLOP
    ("Hq4-Hkv1-Sq3-D2-Dv6-fp16", 36 * 9 * 4, (24 + 72 + 24 + 24 + 24) * 2),
    ("Hq1-packed1+3-D2-fp16", 20 * 10, (8 + 8 + 16 + 8 + 16) * 2 + 12),
    ("B2-Hq2-Sq3-D4-fp32", 2 * 20 * 18 * 2, (48 + 48 + 96 + 48 + 96) * 4),
]


@pytest.mark.parametrize(("case_id", "operations", "moved"), FORWARD)
def test_forward(case_id: str, operations: int, moved: int) -> None:
    case = AttentionCase.parse(case_id)
    assert ATTENTION.operations(case) == operations
    assert ATTENTION.bytes_moved(case) == moved


@pytest.mark.parametrize(("case_id", "operations", "moved"), BACKWARD)
def test_backward(case_id: str, operations: int, moved: int) -> None:
    case = AttentionBackwardCase.parse(case_id)
    assert ATTENTION_BACKWARD.operations(case) == operations
    assert ATTENTION_BACKWARD.bytes_moved(case) == moved


LENGTHS = st.integers(1, 12)
MASKS = st.one_of(st.sampled_from([Mask("full"), Mask("causal")]), st.integers(1, 14).map(lambda w: Mask("window", w)))
SHAPES = st.one_of(
    st.fixed_dictionaries({"packed": st.lists(LENGTHS, min_size=1, max_size=3).map(tuple)}),
    st.fixed_dictionaries({"batch": st.integers(1, 3), "q_len": LENGTHS, "kv_len": LENGTHS}),
)


@given(SHAPES, MASKS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_counting_the_permitted_pairs_gives_the_same(
    shape: dict[str, Any], mask: Mask, kv_heads: int, group: int, head_dim: int, v_head_dim: int
) -> None:
    axes = {"kv_heads": kv_heads, "q_heads": kv_heads * group, "head_dim": head_dim, "v_head_dim": v_head_dim}
    case = AttentionBackwardCase(mask=mask, dtype="float16", **shape, **axes)
    packed = cumulative_lengths(case.packed, torch.device("cpu"))
    allowed = permitted_pairs(mask, torch.arange(case.q_len), case.q_len, case.kv_len, packed)
    pairs, both = int(allowed.sum()) * case.batch * case.q_heads, head_dim + v_head_dim
    queries = int(allowed.any(1).sum()) * case.batch * case.q_heads
    keys = int(allowed.any(0).sum()) * case.batch * kv_heads
    rows, all_keys = case.batch * case.q_heads * case.q_len, case.batch * kv_heads * case.kv_len
    table = 0 if packed is None else 4 * len(packed)
    assert ATTENTION.operations(case) == 2 * pairs * both
    assert ATTENTION.bytes_moved(case) == 2 * (queries * head_dim + keys * both + rows * v_head_dim) + table
    assert ATTENTION_BACKWARD.operations(case) == 2 * pairs * (3 * head_dim + 2 * v_head_dim)
    read, written = queries * both + keys * both, rows * head_dim + all_keys * both
    assert ATTENTION_BACKWARD.bytes_moved(case) == 2 * (read + written) + table
