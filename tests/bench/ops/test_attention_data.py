"""Inputs of attention: seeded, never zeros, outliers where they should be, needles at the edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW, tensors
from attnlab.bench.llm import captured
from attnlab.bench.llm.masks import permitted_pairs
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs
from attnlab.bench.ops.attention.contract import ATTENTION

CPU = torch.device("cpu")
SHARP = 60.0  # a row whose largest permitted score is above this has a needle in it

IDS = [
    "Hq4-Hkv2-Sq40-Sk90-D32-fp32",
    "B2-Hq2-Sq5-D8-Dv3-fp16-causal",
    "Hq2-packed3+20-D16-bf16-window.4",
    "Hq9-Hkv3-Sq30-bf16-causal-smollm2",
    "Hq2-Sq40-fp32-outliers",
]
NEEDLES = [
    "Hq5-Sq100-D128-fp32",
    "Hq5-Hkv1-Sq70-Sk200-D128-fp32-causal",
    "Hq5-Sq130-D128-fp32-window.40",
    "Hq5-Sq70-Sk50-D128-fp32-causal",
    "Hq5-packed33+100+20-D128-fp32-causal",
    "Hq5-packed33+100+20-D128-fp32",
]


def draw(case_id: str, kind: str = NORMAL_DRAW, seed: int = 0) -> AttentionInputs:
    return ATTENTION.make_inputs(AttentionCase.parse(case_id), kind, seed, CPU)


@pytest.mark.parametrize("kind", [NORMAL_DRAW, NEEDLE_DRAW])
@pytest.mark.parametrize("case_id", IDS)
def test_one_seed_gives_one_set_of_inputs(case_id: str, kind: str) -> None:
    state = torch.random.get_rng_state()
    first, again, other = draw(case_id, kind, 3), draw(case_id, kind, 3), draw(case_id, kind, 4)
    for name, tensor in tensors(first, "dynamic").items():
        assert torch.equal(tensor, getattr(again, name))
        assert not torch.equal(tensor, getattr(other, name))
    assert torch.equal(torch.random.get_rng_state(), state), "the process's own generator is left alone"


@pytest.mark.parametrize("kind", [NORMAL_DRAW, NEEDLE_DRAW])
@pytest.mark.parametrize("case_id", IDS)
def test_inputs_have_the_contracts_form_and_no_row_of_zeros(case_id: str, kind: str) -> None:
    case, inputs = AttentionCase.parse(case_id), draw(case_id, kind)
    assert inputs.q.shape == (case.batch, case.q_heads, case.q_len, case.head_dim)
    assert inputs.k.shape == (case.batch, case.kv_heads, case.kv_len, case.head_dim)
    assert inputs.v.shape == (case.batch, case.kv_heads, case.kv_len, case.v_head_dim)
    for tensor in (inputs.q, inputs.k, inputs.v):
        assert tensor.dtype == case.torch_dtype
        assert tensor.is_contiguous()
        assert torch.isfinite(tensor).all()
        assert (tensor != 0).any(-1).all()
    if case.packed:
        assert inputs.packed is not None
        assert inputs.packed.tolist() == [0, *torch.tensor(case.packed).cumsum(0).tolist()]
        assert inputs.packed.dtype == torch.int32
    else:
        assert inputs.packed is None


def test_outliers_are_four_key_channels_twenty_times_larger() -> None:
    inputs = draw("Hq4-Sq800-D64-fp32-outliers")
    spread = inputs.k.std(dim=(0, 1, 2))
    assert int((spread > 10).sum()) == 4
    assert spread[spread > 10].tolist() == pytest.approx([20.0] * 4, rel=0.1)
    assert float(spread[spread < 10].max()) < 1.2
    assert float(inputs.q.std(dim=(0, 1, 2)).max()) < 1.2


def test_captured_inputs_are_the_models_own_with_the_last_queries() -> None:
    real = captured.attention_activations(captured.DEFAULT_LAYER, captured.DEFAULT_TEXT, 64)
    inputs = draw("Hq9-Hkv3-Sq20-Sk64-bf16-causal-smollm2", seed=0)
    assert torch.equal(inputs.q[0], real.q[:, -20:])
    assert torch.equal(inputs.k[0], real.k)
    assert torch.equal(inputs.v[0], real.v)


def test_another_seed_takes_the_captured_heads_in_another_order_group_by_group() -> None:
    plain, other = (draw("Hq9-Hkv3-Sq64-bf16-smollm2", seed=seed) for seed in (0, 5))
    order = [int((other.k[0, head] == plain.k[0]).all(-1).all(-1).nonzero()) for head in range(3)]
    assert sorted(order) == [0, 1, 2] != order
    queries = [int((other.q[0, head] == plain.q[0]).all(-1).all(-1).nonzero()) for head in range(9)]
    assert [head // 3 for head in queries] == [kv_head for kv_head in order for _ in range(3)]


def scores_and_permitted(case: AttentionCase, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
    """Scores [Hq, Sq, Sk] of the first batch element with nothing masked, and the permitted pairs [Sq, Sk]."""
    keys = inputs.k[0].double().repeat_interleave(case.q_heads // case.kv_heads, 0)
    scores = inputs.q[0].double() @ keys.mT * case.scale
    return scores, permitted_pairs(case.mask, torch.arange(case.q_len), case.q_len, case.kv_len, inputs.packed)


def edges(permitted: Tensor) -> Tensor:
    """Keys [Sq, Sk] that are the first or last of a row's range, or at an edge of a tile of 16 within it."""
    key = torch.arange(permitted.shape[1])
    before, after = permitted.roll(1, 1), permitted.roll(-1, 1)
    before[:, 0], after[:, -1] = False, False
    return permitted & (~before | ~after | (key % 16 == 0) | (key % 16 == 15))


@pytest.mark.parametrize("case_id", NEEDLES)
def test_the_key_that_dominates_a_row_is_at_an_edge(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    scores, permitted = scores_and_permitted(case, draw(case_id, NEEDLE_DRAW))
    best, where = scores.masked_fill(~permitted, -torch.inf).max(-1)
    sharp = best > SHARP
    at_edge = edges(permitted).expand_as(scores).gather(-1, where[..., None])[..., 0]
    assert float(sharp.float().mean()) > 0.4
    assert float(at_edge[sharp].float().mean()) > 0.98
    found = {
        int(row_where == row.nonzero().max()) for row, row_where in zip(permitted, where[1], strict=True) if row.any()
    }
    assert found == {0, 1}, "some rows find their last key, some another"


@pytest.mark.parametrize("case_id", [case_id for case_id in NEEDLES if case_id != "Hq5-Sq100-D128-fp32"])
def test_a_forbidden_neighbour_would_dominate_more(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    scores, permitted = scores_and_permitted(case, draw(case_id, NEEDLE_DRAW))
    key = torch.arange(case.kv_len)
    some = permitted.any(1)
    first = torch.where(some, permitted.int().argmax(1), 0)
    last = first + permitted.sum(1) - 1
    neighbour = ((key == first[:, None] - 1) | (key == last[:, None] + 1)) & some[:, None]
    best = scores.masked_fill(~permitted, -torch.inf).amax(-1)
    outside = scores.masked_fill(~neighbour, -torch.inf).amax(-1)
    hidden = (best > SHARP) & neighbour.any(1)
    hidden_and_ahead = hidden & (key[-1] >= last + 1)  # where a key follows, six rows of ten hide that one
    assert int(hidden.sum()) > 20
    assert float((outside > best + 20)[hidden_and_ahead].float().mean()) > 0.55


@pytest.mark.parametrize("case_id", NEEDLES)
def test_the_last_row_of_every_sequence_finds_its_last_key(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    scores, permitted = scores_and_permitted(case, draw(case_id, NEEDLE_DRAW))
    row, key = 0, 0
    for q_len, kv_len in case.sequences:
        row, key = row + q_len, key + kv_len
        weights = scores[0, row - 1].masked_fill(~permitted[row - 1], -torch.inf).softmax(-1)
        assert 0.3 < float(weights[key - 1]) < 0.999, "much, but not all: it shows if it counts twice"


@pytest.mark.parametrize("case_id", NEEDLES)
def test_some_rows_score_low_everywhere(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    scores, _ = scores_and_permitted(case, draw(case_id, NEEDLE_DRAW))
    low = scores.amax(-1) < -30
    assert float(low.float().mean()) == pytest.approx(0.2, abs=0.02)
    assert float(scores[low].std()) < 1.5, "about equally low"


def test_small_heads_have_needles_too() -> None:
    inputs = draw("Hq2-Sq30-D1-fp32-causal", NEEDLE_DRAW)
    assert torch.isfinite(inputs.q).all()
    assert float(inputs.q.abs().max()) > SHARP
