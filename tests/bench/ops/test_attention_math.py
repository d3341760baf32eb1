"""The oracle of attention against an independent formula, and the sample of rows that long cases compare."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.llm.masks import permitted_pairs
from attnlab.bench.ops._shared import attention_math
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs
from attnlab.bench.ops.attention.contract import ATTENTION

CPU = torch.device("cpu")
IDS = [
    "B2-Hq4-Hkv2-Sq9-Sk13-D8-Dv5-fp32",
    "Hq6-Hkv1-Sq12-D16-bf16-causal",
    "Hq4-Sq5-Sk11-D8-fp16-causal",
    "Hq4-Hkv2-Sq11-Sk5-D8-fp32-causal",
    "Hq2-Sq12-Sk9-D8-fp32-window.3",
    "Hq2-packed3+1+7-D8-fp32",
    "Hq4-Hkv2-packed3+1+7-D8-fp32-causal",
    "Hq2-packed3+1+7-D8-bf16-window.2",
    "Hq2-Sq1-Sk1-D4-fp32",
    "Hq2-Sq20-D16-fp32-outliers",
]


def draw(case: AttentionCase) -> AttentionInputs:
    return ATTENTION.make_inputs(case, NORMAL_DRAW, 0, CPU)


def by_torch(case: AttentionCase, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
    """torch's own attention in float64, and which rows [Sq] have any key."""
    allowed = permitted_pairs(case.mask, torch.arange(case.q_len), case.q_len, case.kv_len, inputs.packed)
    q, k, v = (x.double() for x in (inputs.q, inputs.k, inputs.v))
    out = scaled_dot_product_attention(q, k, v, allowed, scale=case.head_dim**-0.5, enable_gqa=True)
    return out, allowed.any(1)


@pytest.mark.parametrize("case_id", IDS)
def test_the_oracle_is_torchs_attention_in_float64(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    inputs = draw(case)
    (got,) = attention_math.oracle(case, inputs, torch.arange(case.q_len))
    want, has_keys = by_torch(case, inputs)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got[:, :, has_keys], want[:, :, has_keys], rtol=1e-12, atol=1e-13)
    assert not got[:, :, ~has_keys].any(), "a row without keys is zeros"


@pytest.mark.parametrize("case_id", IDS)
def test_rows_alone_and_in_small_parts_are_the_same(case_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = AttentionCase.parse(case_id)
    inputs, rows = draw(case), torch.arange(case.q_len)
    some = rows.flip(0)[::2]
    (whole,) = attention_math.oracle(case, inputs, rows)
    (part,) = attention_math.oracle(case, inputs, some)
    torch.testing.assert_close(part, whole[:, :, some], rtol=1e-13, atol=1e-14)
    monkeypatch.setattr(attention_math, "CHUNK_SCORES", 3 * case.batch * case.q_heads * case.kv_len)
    (chunked,) = attention_math.oracle(case, inputs, rows)
    torch.testing.assert_close(chunked, whole, rtol=1e-13, atol=1e-14)
    assert torch.equal(attention_math.select_rows((whole,), some)[0], whole[:, :, some])


@pytest.mark.parametrize("case_id", IDS)
def test_the_yardstick_rounds_to_the_dtype_and_no_more(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    inputs, rows = draw(case), torch.arange(case.q_len)
    (want,) = attention_math.oracle(case, inputs, rows)
    reached = attention_math.yardstick(case, inputs, rows)
    assert reached.outputs[0].dtype == case.torch_dtype
    roundoff = {"float32": 2.0**-20, "float16": 2.0**-10, "bfloat16": 2.0**-7}[case.dtype]
    torch.testing.assert_close(reached.outputs[0].double(), want, rtol=0, atol=3 * roundoff)
    assert reached.terms[0].shape == want.shape


def test_the_size_of_the_terms_does_not_fall_where_they_cancel() -> None:
    case = AttentionCase(q_heads=1, q_len=1, kv_len=2, head_dim=1, dtype="float32")
    q, k = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 2, 1)
    inputs = AttentionInputs(q, k, torch.tensor([[[[3.0], [-3.0]]]]), case.mask, None, 1.0)
    rows = torch.arange(1)
    assert attention_math.oracle(case, inputs, rows)[0].item() == 0.0
    assert attention_math.yardstick(case, inputs, rows).terms[0].item() == pytest.approx(1.5 * 2**0.5)


def test_log_sum_exp_of_scaled_scores() -> None:
    case = AttentionCase.parse("Hq2-Sq4-Sk2-D4-fp32-causal")
    inputs = draw(case)
    out, lse = attention_math.forward_with_lse(case, inputs)
    scores = inputs.q[0, 1, 3] @ inputs.k[0, 1].T / 2
    assert lse[0, 1, 3].item() == pytest.approx(scores.exp().sum().log().item(), rel=1e-6)
    assert lse[0, :, :2].tolist() == [[-torch.inf] * 2] * 2, "the first two queries see no key"
    assert out.dtype == torch.float32
    assert not out[0, :, :2].any()


def test_a_short_case_is_compared_whole() -> None:
    assert attention_math.sample_rows(AttentionCase(q_len=500)).tolist() == list(range(500))


@pytest.mark.parametrize(
    ("case_id", "wanted"),
    [
        ("Hq32-Hkv8-Sq20000-D128-bf16-causal", {20000 // 256 * 256}),
        ("Hq32-Sq20000-D128-bf16-window.777", {777}),
        ("Hq32-Sq9000-Sk20000-D128-bf16-window.15000", {15000 - 11000}),
        ("Hq32-packed5000+3+9000-D128-bf16-causal", {5000, 5003}),
    ],
)
def test_the_sample_of_a_long_case_has_every_edge(case_id: str, wanted: set[int]) -> None:
    case = AttentionCase.parse(case_id)
    rows = attention_math.sample_rows(case).tolist()
    assert rows == sorted(set(rows))
    assert rows[0] >= 0
    assert rows[-1] < case.q_len
    assert len(rows) < 200
    tiles = {edge for size in (16, 32, 64, 128, 256) for edge in (size, (case.q_len - 1) // size * size)}
    corners = {0, case.q_len - 1} | tiles | wanted
    around = {corner + step for corner in corners for step in (-1, 0, 1)}
    assert {row for row in around if 0 <= row < case.q_len} <= set(rows)
    assert attention_math.sample_rows(case).tolist() == rows, "the same rows every time"


def test_probes_apply_where_they_can_be_told_apart() -> None:
    one_key, one_head = AttentionCase(q_len=3, kv_len=1), AttentionCase(q_heads=1, q_len=3)
    assert not attention_math.has_choice(one_key)
    assert not attention_math.has_choice(AttentionCase.parse("Sq50-bf16-window.1"))
    assert not attention_math.has_choice(AttentionCase(packed=(1, 1)))
    assert attention_math.has_choice(AttentionCase(packed=(1, 2)))
    assert attention_math.heads_differ(one_key), "values of the heads differ"
    assert not attention_math.heads_differ(one_head)
    assert not attention_math.heads_differ(AttentionCase(q_heads=4, kv_heads=1, kv_len=1))
