"""Attention in plain torch: the float64 oracle, the yardstick that sets the error budget, and the probes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import Probe, YardstickOutput, heads_permuted, zeros
from attnlab.bench.llm.masks import permitted_pairs
from attnlab.bench.ops._shared.score_rounding import NO_ROUNDING, NUDGE, Rounding

if TYPE_CHECKING:
    from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs

FULL_CHECK_OPERATIONS = 2_000_000_000  # up to here every row is compared: float64 takes a fraction of a second
CHUNK_SCORES = 1 << 24  # scores in memory at a time
EDGES = (16, 32, 64, 128, 256)


def score_bytes(case: AttentionCase) -> int:
    """Scores in float32, what they are masked to, and probabilities: all that plain code holds at once."""
    return 3 * 4 * case.batch * case.q_heads * case.q_len * case.kv_len


def sample_rows(case: AttentionCase) -> Tensor:
    """The query rows to compare: all of a short case; else all edges and a seeded sample of the rest.

    Edges are those of sequences, of tiles and pages of 16 to 256 rows, and of the window.
    """
    cost = 2 * (case.head_dim + case.v_head_dim) * case.batch * case.q_heads * case.kv_len
    wanted = max(64, FULL_CHECK_OPERATIONS // cost)
    if wanted >= case.q_len:
        return torch.arange(case.q_len)
    corners = {0, case.q_len - 1}
    corners |= {start for length in EDGES for start in (length, (case.q_len - 1) // length * length)}
    if case.mask.window is not None:
        corners.add(case.mask.window - (case.kv_len - case.q_len))
    corners |= set(torch.tensor((0, *case.packed)).cumsum(0).tolist())
    edges = {row + step for row in corners for step in (-1, 0, 1) if 0 <= row + step < case.q_len}
    others = torch.randperm(case.q_len, generator=torch.Generator().manual_seed(case.q_len))
    filled = dict.fromkeys([*sorted(edges), *others.tolist()])
    return torch.tensor(sorted(list(filled)[: max(wanted, len(edges))]))


def select_rows(outputs: tuple[Tensor, ...], rows: Tensor) -> tuple[Tensor, ...]:
    """The sampled rows of outputs [B, Hq, Sq, Dv]."""
    return tuple(out.index_select(2, rows.to(out.device)) for out in outputs)


def oracle(
    case: AttentionCase, inputs: AttentionInputs, rows: Tensor, rounding: Rounding = NO_ROUNDING
) -> tuple[Tensor, ...]:
    """Attention in float64, [B, Hq, len(rows), Dv]; a row without a permitted key is zeros."""
    v = inputs.v.double()[:, :, None]  # [B, Hkv, 1, Sk, Dv]
    return (_of_rows([probabilities(inputs, part, v.dtype, rounding) @ v for part in row_chunks(inputs, rows)]),)


def slack(case: AttentionCase, inputs: AttentionInputs, rows: Tensor, rounding: Rounding) -> tuple[Tensor, ...]:
    """How far the output moves where scores that lie near a boundary of their rounding fall to its other side."""
    (out,) = oracle(case, inputs, rows, rounding)
    below, above = (oracle(case, inputs, rows, replace(rounding, nudge=nudge))[0] for nudge in (-NUDGE, NUDGE))
    return ((out - below).abs() + (out - above).abs(),)


def yardstick(
    case: AttentionCase, inputs: AttentionInputs, rows: Tensor, rounding: Rounding = NO_ROUNDING
) -> YardstickOutput:
    """What careful code gets: scores and sums in float32, probabilities and output rounded to the dtype."""
    dtype, v = case.torch_dtype, inputs.v.float()[:, :, None]
    outs, terms = [], []
    for part in row_chunks(inputs, rows):
        p = probabilities(inputs, part, v.dtype, rounding)
        outs.append(p.to(dtype).float() @ v)
        terms.append((p.square() @ v.square()).sqrt())
    return YardstickOutput((_of_rows(outs).to(dtype),), (_of_rows(terms),))


def _of_rows(parts: list[Tensor]) -> Tensor:
    """Parts [B, Hkv, G, R, Dv] joined as [B, Hq, rows, Dv]."""
    return torch.cat(parts, dim=3).flatten(1, 2)


def forward_with_lse(case: AttentionCase, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
    """The yardstick's output in the case's dtype, and the log-sum-exp of scaled scores in float32 [B, Hq, Sq]."""
    v, outs, sums = inputs.v.float()[:, :, None], [], []
    for part in row_chunks(inputs, torch.arange(case.q_len)):
        scores, allowed = masked_scores(inputs, part, torch.float32)
        sums.append(scores.logsumexp(-1).flatten(1, 2))
        outs.append(scores.softmax(-1).masked_fill(~allowed, 0.0).to(case.torch_dtype).float() @ v)
    return _of_rows(outs).to(case.torch_dtype), torch.cat(sums, dim=2)


def row_chunks(inputs: AttentionInputs, rows: Tensor) -> tuple[Tensor, ...]:
    """The rows, on the inputs' device, in parts whose scores fit in memory."""
    scores_a_row = inputs.q.shape[0] * inputs.q.shape[1] * inputs.k.shape[2]
    return torch.tensor_split(rows.to(inputs.q.device), -(-len(rows) * scores_a_row // CHUNK_SCORES))


def probabilities(
    inputs: AttentionInputs, rows: Tensor, compute: torch.dtype, rounding: Rounding = NO_ROUNDING
) -> Tensor:
    """Softmax over the permitted keys, [B, Hkv, G, R, Sk] with G query heads a key-value head."""
    scores, allowed = masked_scores(inputs, rows, compute, rounding)
    return scores.softmax(-1).masked_fill(~allowed, 0.0)  # a row of nothing but -inf is NaN by definition: zeros here


def masked_scores(
    inputs: AttentionInputs, rows: Tensor, compute: torch.dtype, rounding: Rounding = NO_ROUNDING
) -> tuple[Tensor, Tensor]:
    """Scaled scores with -inf at forbidden keys, [B, Hkv, G, R, Sk], and the permitted pairs [R, Sk]."""
    q = grouped(inputs.q, inputs.k.shape[1]).index_select(3, rows).to(compute)
    k = inputs.k.to(compute)[:, :, None]  # [B, Hkv, 1, Sk, D]
    allowed = permitted_pairs(inputs.mask, rows, inputs.q.shape[2], inputs.k.shape[2], inputs.packed)
    return rounding.scores(q, k.mT, inputs.scale, inputs.q.dtype).masked_fill(~allowed, float("-inf")), allowed


def grouped(x: Tensor, kv_heads: int) -> Tensor:
    """[B, Hq, S, D] -> [B, Hkv, G, S, D]: the query heads of a group beside their key-value head."""
    return x.reshape(x.shape[0], kv_heads, x.shape[1] // kv_heads, *x.shape[2:])


def key_shifted(
    case: AttentionCase, inputs: AttentionInputs, rows: Tensor, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    return oracle(case, replace(inputs, k=inputs.k.roll(1, dims=2)), rows)


def has_choice(case: AttentionCase) -> bool:
    """Whether some query may see two keys or more; with one key the softmax is 1 whatever the scores."""
    longest = max(k for _, k in case.sequences)  # the last query sees every key, or as many as its window
    return min(longest, case.mask.window or longest) >= 2


def heads_differ(case: AttentionCase) -> bool:
    return case.q_heads > 1 and (case.kv_heads > 1 or has_choice(case))


PROBES = (
    Probe("zeros", lambda case: True, zeros),
    Probe("one key shifted", has_choice, key_shifted),
    Probe("heads permuted", heads_differ, heads_permuted),
)
