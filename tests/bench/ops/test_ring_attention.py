"""Operator `ring_attention`: ids, which rank holds what, costs by hand, and what each step of a ring may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.masks import permitted_pairs
from attnlab.bench.ops.attention.case import AttentionInputs
from attnlab.bench.ops.ring_attention.case import RingAttentionCase
from attnlab.bench.ops.ring_attention.contract import (
    NEEDLE_DRAWS,
    RING_ATTENTION,
    join,
    positions_of,
    shard,
)
from attnlab.impls.ring_attention._blocks import Merged
from attnlab.impls.ring_attention._work import attend_to, seen

CPU = torch.device("cpu")
FROZEN: dict[str, dict[str, Any]] = {
    "bf16": {},
    "Hq9-Hkv3-S1024-fp32-zigzag": {"q_heads": 9, "kv_heads": 3, "seq_len": 1024, "dtype": "fp32", "order": "zigzag"},
    "p4-B2-Hkv2-S4096-D128-fp16-full-zigzag-outliers": {
        "world_size": 4,
        "batch": 2,
        "kv_heads": 2,
        "seq_len": 4096,
        "head_dim": 128,
        "dtype": "float16",
        "mask": "full",
        "order": "zigzag",
        "inputs": "outliers",
    },
}


def drawn(case: RingAttentionCase, draw: str = NORMAL_DRAW, seed: int = 0) -> AttentionInputs:
    return RING_ATTENTION.make_inputs(case, draw, seed, CPU)


@pytest.mark.parametrize(("id", "axes"), FROZEN.items())
def test_ids_are_frozen(id: str, axes: dict[str, Any]) -> None:
    case = RingAttentionCase(**axes)
    assert case.id == id
    assert RingAttentionCase.parse(id) == case


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (
            {"seq_len": 100, "world_size": 3},
            "got seq_len=100 with world_size=3 .*expected a multiple of 3: a block for",
        ),
        ({"seq_len": 102, "world_size": 2, "order": "zigzag"}, "expected a multiple of 4: two blocks for each of 2"),
        ({"mask": "window:8"}, "axis mask: got 'window:8'; expected full or causal"),
        ({"q_heads": 6, "kv_heads": 4}, "expected query heads divisible by key-value heads"),
        ({"order": "striped"}, "axis order: got 'striped'; expected one of contiguous, zigzag"),
        ({"world_size": 0}, "axis world_size: got 0; expected a whole number of at least 1"),
    ],
)
def test_impossible_cases(axes: dict[str, Any], said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said.replace(" .*", ".*")):
        RingAttentionCase(**axes)


def test_which_rank_holds_what() -> None:
    contiguous, zigzag = (RingAttentionCase(world_size=2, seq_len=8, order=order) for order in ("contiguous", "zigzag"))
    assert [positions_of(contiguous, rank).tolist() for rank in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [positions_of(zigzag, rank).tolist() for rank in range(2)] == [[0, 1, 6, 7], [2, 3, 4, 5]]


def test_zigzag_gives_every_rank_as_many_pairs() -> None:
    case = RingAttentionCase(world_size=4, seq_len=64, order="zigzag")
    pairs = [int((positions_of(case, rank) + 1).sum()) for rank in range(4)]
    assert pairs == [64 * 65 // 2 // 4] * 4
    held = [int((positions_of(replace(case, order="contiguous"), rank) + 1).sum()) for rank in range(4)]
    assert held[3] > 6 * held[0]


@pytest.mark.parametrize("order", ["contiguous", "zigzag"])
def test_shards_joined_are_the_whole(order: str) -> None:
    case = RingAttentionCase(world_size=4, seq_len=48, order=order, q_heads=2, head_dim=8, dtype="fp32")
    inputs = drawn(case)
    shards = [shard(case, inputs, rank) for rank in range(4)]
    assert torch.equal(join(case, [(one.q,) for one in shards])[0], inputs.q)
    assert all(one.k.is_contiguous() and one.k.shape == (1, 2, 12, 8) for one in shards)


@pytest.mark.parametrize("mask", ["full", "causal"])
@pytest.mark.parametrize("order", ["contiguous", "zigzag"])
def test_what_each_step_sees_is_what_the_mask_permits(order: str, mask: str) -> None:
    case = RingAttentionCase(world_size=4, seq_len=32, order=order, mask=mask, q_heads=1, head_dim=8)  # type: ignore[arg-type]
    inputs = drawn(case)
    permitted = permitted_pairs(inputs.mask, torch.arange(32), 32, 32, None)
    for rank in range(4):
        own = shard(case, inputs, rank)
        for owner in range(4):
            there = permitted[positions_of(case, rank)][:, positions_of(case, owner)]
            found = torch.zeros_like(there)
            part = seen(own, owner)
            if part is not None:
                found[part] = True
            if owner == rank and mask == "causal":
                found = found.tril()
            assert torch.equal(found, there)


@pytest.mark.parametrize(
    "case_id", ["p4-Hq2-S64-D16-fp32-zigzag", "p8-Hq4-Hkv2-S64-D16-fp32", "p3-Hq2-S48-D8-fp32-full"]
)
def test_blocks_of_many_ranks_merge_to_the_whole(case_id: str) -> None:
    """What ranks compute, without ranks."""
    case = RingAttentionCase.parse(case_id)
    for draw, seed in ((NORMAL_DRAW, 0), *((NEEDLE_DRAW, seed) for seed in range(NEEDLE_DRAWS))):
        inputs = drawn(case, draw, seed)
        shards = [shard(case, inputs, rank) for rank in range(case.world_size)]
        expectation = RING_ATTENTION.check.expect(case, inputs)
        assert not expectation.blunt
        assert all(one.within for one in expectation.judge(join(case, [(_merged(own, shards),) for own in shards])))


def _merged(own: Any, shards: list[Any]) -> Tensor:
    merged = Merged.empty(own.q)
    for owner, other in enumerate(shards):
        attend_to(own, merged, (other.k, other.v), owner)
    return merged.out.to(own.q.dtype)


def test_needles_lie_at_borders_of_blocks() -> None:
    case = RingAttentionCase.parse("Hq2-S64-D32-fp32-zigzag")
    inputs = drawn(case, NEEDLE_DRAW, NEEDLE_DRAWS - 1)
    scores = (inputs.q @ inputs.k.mT * inputs.scale).masked_fill(torch.ones(64, 64).triu(1).bool(), -torch.inf)
    found = set(scores[:, :, 8:].argmax(-1).flatten().tolist())
    assert found <= {0, 15, 16, 31, 32, 47, 48, 63}  # the first and the last key of each of four blocks
    assert len(found) >= 7


def test_costs_by_hand() -> None:
    case = RingAttentionCase.parse("B2-Hq4-Hkv2-S8-D16-fp16")
    assert RING_ATTENTION.operations(case) == 4 * 16 * 36 * 2 * 4
    assert RING_ATTENTION.bytes_moved(case) == 2 * 2 * 8 * 16 * (4 + 2 + 2 + 4)
