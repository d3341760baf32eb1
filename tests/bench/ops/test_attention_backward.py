"""The gradients of the backward's oracle against automatic differentiation in float64, and the heads compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW
from attnlab.bench.llm.masks import permitted_pairs
from attnlab.bench.ops import attention_backward
from attnlab.bench.ops._shared import attention_math
from attnlab.bench.ops.attention_backward import (
    ATTENTION_BACKWARD,
    AttentionBackwardCase,
    AttentionBackwardInputs,
)

CPU = torch.device("cpu")
IDS = [
    "B2-Hq4-Hkv2-Sq9-Sk13-D8-Dv5-fp32",
    "Hq6-Hkv1-Sq12-D16-fp32-causal",
    "Hq4-Sq5-Sk11-D8-fp16-causal",
    "Hq4-Hkv2-Sq11-Sk5-D8-fp32-causal",
    "Hq2-Sq12-Sk9-D8-fp32-window.3",
    "Hq2-packed3+1+7-D8-bf16",
    "Hq4-Hkv2-packed3+1+7-D8-fp32-causal",
    "Hq2-packed3+1+7-D8-fp32-window.2",
    "Hq2-Sq1-D4-fp32",
    "Hq2-Sq20-D16-fp32-outliers",
]


def draw(case: AttentionBackwardCase, kind: str = NORMAL_DRAW, seed: int = 0) -> AttentionBackwardInputs:
    return ATTENTION_BACKWARD.make_inputs(case, kind, seed, CPU)


def by_autograd(case: AttentionBackwardCase, inputs: AttentionBackwardInputs) -> tuple[Tensor, ...]:
    """Gradients of an attention of its own, in float64; a mask times the softmax keeps empty rows at zero."""
    q, k, v = (x.double().requires_grad_() for x in (inputs.q, inputs.k, inputs.v))
    allowed = permitted_pairs(case.mask, torch.arange(case.q_len), case.q_len, case.kv_len, inputs.packed)
    group = case.q_heads // case.kv_heads
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k.repeat_interleave(group, 1)) / case.head_dim**0.5
    weights = torch.where(allowed, scores, -1e30).softmax(-1) * allowed
    out = torch.einsum("bhqk,bhkd->bhqd", weights, v.repeat_interleave(group, 1))
    return torch.autograd.grad(out, (q, k, v), inputs.dout.double())


@pytest.mark.parametrize("kind", [NORMAL_DRAW, NEEDLE_DRAW])
@pytest.mark.parametrize("case_id", IDS)
def test_the_oracle_is_what_automatic_differentiation_gives(case_id: str, kind: str) -> None:
    case = AttentionBackwardCase.parse(case_id)
    inputs, heads = draw(case, kind), torch.arange(case.kv_heads)
    got = attention_backward.oracle(case, inputs, heads)
    want = attention_backward.select_heads(by_autograd(case, inputs), heads)
    for name, one, other in zip(("dq", "dk", "dv"), got, want, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("case_id", IDS)
def test_some_heads_and_small_parts_are_the_same(case_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = AttentionBackwardCase.parse(case_id)
    inputs = draw(case)
    whole = attention_backward.oracle(case, inputs, torch.arange(case.kv_heads))
    last = torch.tensor([case.kv_heads - 1])
    for got, want in zip(attention_backward.oracle(case, inputs, last), whole, strict=True):
        torch.testing.assert_close(got, want[:, last], rtol=1e-12, atol=1e-13)
    monkeypatch.setattr(attention_math, "CHUNK_SCORES", 3 * case.batch * case.q_heads * case.kv_len)
    chunked = attention_backward.oracle(case, inputs, torch.arange(case.kv_heads))
    for got, want in zip(chunked, whole, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case_id", IDS)
def test_the_yardstick_is_near_and_every_case_can_be_judged(case_id: str) -> None:
    case = AttentionBackwardCase.parse(case_id)
    for kind in (NORMAL_DRAW, NEEDLE_DRAW):
        expectation = ATTENTION_BACKWARD.check.expect(case, draw(case, kind))
        assert not expectation.blunt
        assert "zeros" in expectation.probes


def test_a_row_with_one_key_has_no_gradient_and_is_judged_all_the_same() -> None:
    case = AttentionBackwardCase.parse("Hq2-Sq7-D8-fp32-window.1")
    expectation = ATTENTION_BACKWARD.check.expect(case, draw(case))
    dq, dk, dv = expectation.expected
    assert float(dq.abs().max()) < 1e-12
    assert float(dk.abs().max()) < 1e-12
    assert float(dv.abs().max()) > 0.1


def test_inputs_hold_the_forwards_results_and_all_of_them_is_drawn_anew() -> None:
    case = AttentionBackwardCase.parse("Hq4-Hkv2-Sq6-D8-Dv3-bf16-causal")
    first, second = draw(case, seed=1), draw(case, seed=2)
    assert first.out.shape == first.dout.shape == (1, 4, 6, 3)
    assert first.lse.shape == (1, 4, 6)
    assert first.lse.dtype == torch.float32
    for name in ("q", "k", "v", "out", "lse", "dout"):
        assert not torch.equal(getattr(first, name), getattr(second, name))


def test_the_oracle_takes_the_forwards_output_from_q_k_and_v() -> None:
    case = AttentionBackwardCase.parse("Hq2-Sq6-D8-bf16")
    inputs, heads = draw(case), torch.arange(2)
    without = replace(inputs, out=torch.zeros_like(inputs.out), lse=torch.zeros_like(inputs.lse))
    for got, want in zip(
        attention_backward.oracle(case, without, heads),
        attention_backward.oracle(case, inputs, heads),
        strict=True,
    ):
        assert torch.equal(got, want)


def test_few_heads_of_a_long_case_are_compared_with_the_first_and_the_last() -> None:
    assert attention_backward.sample_heads(AttentionBackwardCase(q_len=100)).tolist() == list(range(8))
    heads = attention_backward.sample_heads(AttentionBackwardCase(q_heads=32, q_len=4096, head_dim=128)).tolist()
    assert heads[0] == 0
    assert heads[-1] == 31
    assert len(heads) == 2


def test_shapes_of_the_outputs() -> None:
    case = AttentionBackwardCase.parse("B2-Hq4-Hkv2-Sq3-Sk5-D8-Dv6-fp16")
    assert [(spec.name, spec.shape, spec.dtype) for spec in ATTENTION_BACKWARD.outputs(case)] == [
        ("dq", (2, 4, 3, 8), torch.float16),
        ("dk", (2, 2, 5, 8), torch.float16),
        ("dv", (2, 2, 5, 6), torch.float16),
    ]
