"""Where the queries, keys and values of attention cases come from: random, outliers, captured, needles."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW
from attnlab.bench.llm import captured
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared import combs, needles, wide_sums
from attnlab.bench.ops._shared.needles import SHARP_SCORE
from attnlab.bench.ops._shared.sources import capture_of

if TYPE_CHECKING:
    from attnlab.bench.ops.attention.case import AttentionCase


OUTLIER_CHANNELS = 4
OUTLIER_FACTOR = 20.0  # real models have key channels of about this size beside ordinary ones


def queries_keys_values(
    case: AttentionCase, draw: str, seed: int, needle_score: float = SHARP_SCORE
) -> tuple[Tensor, Tensor, Tensor]:
    """float32 on the CPU: q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv].

    `needle_score` is what the key that dominates a row scores on needle inputs, where others score near 0.
    """
    generator = torch.Generator().manual_seed(seed)
    if draw == NEEDLE_DRAW:
        return _needles(case, generator, needle_score)
    if case.inputs.startswith("smollm2"):
        return _captured(case, seed)
    q, k, v = _normal(case, generator)
    if case.inputs == "outliers":
        channels = torch.randperm(case.head_dim, generator=generator)[:OUTLIER_CHANNELS]
        k[..., channels] *= OUTLIER_FACTOR
    return q, k, v


def _normal(case: AttentionCase, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    def draw(heads: int, length: int, dim: int) -> Tensor:
        return torch.randn(case.batch, heads, length, dim, generator=generator)

    return (
        draw(case.q_heads, case.q_len, case.head_dim),
        draw(case.kv_heads, case.kv_len, case.head_dim),
        draw(case.kv_heads, case.kv_len, case.v_head_dim),
    )


def combed(case: AttentionCase, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `queries_keys_values`: every key weighs in some row, see `combs`."""
    generator = torch.Generator().manual_seed(seed)
    return combs.comb(*_normal(case, generator), scale=case.scale, generator=generator)


def flat(case: AttentionCase, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `queries_keys_values`: keys weigh about alike, and values are far larger than their mean, see `wide_sums`."""
    q, k, v = _normal(case, torch.Generator().manual_seed(seed))
    ordered = wide_sums.signs(case.kv_len, case.v_head_dim, short=sees_some_only(case)).mT
    return wide_sums.FLAT * q, k, v + wide_sums.ORDERED * ordered


def sees_some_only(case: AttentionCase) -> bool:
    """Whether some row sees some keys only."""
    return case.mask.kind != "full" or bool(case.packed)


def _captured(case: AttentionCase, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Consecutive stretches of one text, one a sequence; one seed after another takes the heads in another order.

    Queries are the last q_len of each stretch, so that the causal mask stays bottom-right aligned.
    """
    layer, text = capture_of(case.inputs)
    real = captured.attention_activations(layer, text, case.batch * case.kv_len)
    group = captured.Q_HEADS // captured.KV_HEADS
    orders = list(itertools.permutations(range(captured.KV_HEADS)))
    order = torch.tensor(orders[seed % len(orders)])
    q_order = (order[:, None] * group + torch.arange(group)).flatten()

    def stretches(x: Tensor, heads: Tensor, length: int) -> Tensor:
        batched = x[heads].float().reshape(len(heads), case.batch, case.kv_len, -1).movedim(1, 0)
        return batched[:, :, case.kv_len - length :].contiguous()

    return (
        stretches(real.q, q_order, case.q_len),
        stretches(real.k, order, case.kv_len),
        stretches(real.v, order, case.kv_len),
    )


def soft_score(case: AttentionCase) -> float:
    """The score with which a key weighs about as much as all others of score 0 together, or a little more."""
    return math.log(case.kv_len) + 1


def _needles(case: AttentionCase, generator: torch.Generator, score: float) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs with needles; the soft turn is that of every sequence's last row in the first head, which may alone
    see the last key."""
    q, k, v = _normal(case, generator)
    first, last, from_end = _key_ranges(case)
    batch, heads = torch.arange(case.batch)[:, None, None], torch.arange(case.q_heads)[:, None]
    rows = needles.Rows(first, last, last < case.kv_len, batch + heads + from_end)
    q, k = needles.hide(
        q,
        k,
        rows,
        scale=case.scale,
        score=score,
        soft_score=soft_score(case),
        low_score=needles.LOW_SCORE[case.dtype],
        generator=generator,
    )
    return q, k, v


def needle_range(mask: Mask, row: int, q_len: int, kv_len: int) -> tuple[int, int]:
    """Keys that the query sees, one after another: of a node of a tree by turns itself and all before the tree."""
    first, last = mask.key_range(row, q_len, kv_len)
    context = kv_len - q_len
    if mask.kind != "tree":
        return first, last
    return (last - 1, last) if row % 2 or not context else (0, context)


def _key_ranges(case: AttentionCase) -> tuple[Tensor, Tensor, Tensor]:
    """For each query row [Sq]: its first permitted key, one past its last, and rows left in its sequence."""
    rows: list[tuple[int, int, int]] = []
    start = 0
    for q_len, kv_len in case.sequences if case.packed else case.sequences[:1]:
        for row in range(q_len):
            first, last = needle_range(case.mask, row, q_len, kv_len)
            rows.append((start + first, start + last, q_len - 1 - row))
        start += kv_len
    ranges = torch.tensor(rows)
    return ranges[:, 0], ranges[:, 1], ranges[:, 2]
