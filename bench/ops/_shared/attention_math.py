"""Attention in plain torch: the float64 oracle, the yardstick that sets the error budget, and the probes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import Probe, YardstickOutput, heads_permuted, zeros
from attnlab.bench.llm.masks import permitted_pairs, places_of
from attnlab.bench.ops._shared import variants
from attnlab.bench.ops._shared.score_rounding import NO_ROUNDING, NUDGE, Rounding
from attnlab.bench.ops._shared.variant_probes import has_choice, heads_differ, probes_of_variants

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

    Edges are those of sequences, of tiles and pages of 16 to 256 rows, of the window, the prefix, and of chunks.
    """
    cost = 2 * (case.head_dim + case.v_head_dim) * case.batch * case.q_heads * case.kv_len
    wanted = max(64, FULL_CHECK_OPERATIONS // cost)
    if wanted >= case.q_len:
        return torch.arange(case.q_len)
    corners = {0, case.q_len - 1}
    corners |= {start for length in EDGES for start in (length, (case.q_len - 1) // length * length)}
    if case.mask.size is not None:
        steps = {1, case.kv_len // case.mask.size} if case.mask.kind == "chunked" else {1}
        corners |= {case.mask.size * step - (case.kv_len - case.q_len) for step in steps}
    for lengths in (case.packed, case.mask.documents):
        corners |= set(torch.tensor((0, *lengths)).cumsum(0).tolist())
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
        terms.append((variants.rounded_as(p, inputs, dtype).square() @ v.square()).sqrt())
    return YardstickOutput((_of_rows(outs).to(dtype),), (_of_rows(terms),))


def _of_rows(parts: list[Tensor]) -> Tensor:
    """Parts [B, Hkv, G, R, Dv] joined as [B, Hq, rows, Dv]."""
    return torch.cat(parts, dim=3).flatten(1, 2)


def forward_with_lse(case: AttentionCase, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
    """The yardstick's output in the case's dtype, and the log-sum-exp of scores in float32 [B, Hq, Sq].

    Scores are those after cap, bias and mask; a sink counts in the sum.
    """
    v, outs, sums = inputs.v.float()[:, :, None], [], []
    for part in row_chunks(inputs, torch.arange(case.q_len)):
        scores, allowed, _ = masked_scores(inputs, part, torch.float32)
        sums.append(variants.log_sum(scores, inputs.sinks).flatten(1, 2))
        p = variants.weighed(scores, inputs.sinks).masked_fill(~allowed, 0.0)
        outs.append(p.to(case.torch_dtype).float() @ v)
    return _of_rows(outs).to(case.torch_dtype), torch.cat(sums, dim=2)


def row_chunks(inputs: AttentionInputs, rows: Tensor) -> tuple[Tensor, ...]:
    """The rows, on the inputs' device, in parts whose scores fit in memory."""
    scores_a_row = inputs.q.shape[0] * inputs.q.shape[1] * inputs.k.shape[2]
    return torch.tensor_split(rows.to(inputs.q.device), -(-len(rows) * scores_a_row // CHUNK_SCORES))


def probabilities(
    inputs: AttentionInputs, rows: Tensor, compute: torch.dtype, rounding: Rounding = NO_ROUNDING
) -> Tensor:
    """Softmax over the permitted keys, [B, Hkv, G, R, Sk] with G query heads a key-value head."""
    return probabilities_and_slope(inputs, rows, compute, rounding)[0]


def probabilities_and_slope(
    inputs: AttentionInputs, rows: Tensor, compute: torch.dtype, rounding: Rounding = NO_ROUNDING
) -> tuple[Tensor, Tensor | None]:
    """The same, and how much a score after the soft cap changes with the one before; None without a cap."""
    scores, allowed, slope = masked_scores(inputs, rows, compute, rounding)
    p = variants.weighed(scores, inputs.sinks)
    return p.masked_fill(~allowed, 0.0), slope  # a row of nothing but -inf is NaN by definition: zeros here


def masked_scores(
    inputs: AttentionInputs, rows: Tensor, compute: torch.dtype, rounding: Rounding = NO_ROUNDING
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scores with cap and bias, and -inf at forbidden keys, [B, Hkv, G, R, Sk]; the permitted pairs [R, Sk]; the slope
    of the cap, as `variants.biased` has it."""
    q = grouped(variants.normed(inputs.q, inputs.q_norm, compute, inputs.q.dtype), inputs.k.shape[1]).index_select(
        3, rows
    )
    k = variants.normed(inputs.k, inputs.k_norm, compute, inputs.k.dtype)[:, :, None]  # [B, Hkv, 1, Sk, D]
    lengths = inputs.q.shape[2], inputs.k.shape[2]
    allowed = permitted_pairs(inputs.mask, rows, *lengths, inputs.packed, inputs.packed_keys)
    scaled = rounding.scores(q, k.mT, inputs.scale, inputs.q.dtype)
    places = places_of(rows, *lengths, inputs.packed, inputs.packed_keys)
    scores, slope = variants.biased(scaled, inputs, places, rows, inputs.mask.is_causal)
    return scores.masked_fill(~allowed, float("-inf")), allowed, slope


def grouped(x: Tensor, kv_heads: int) -> Tensor:
    """[B, Hq, S, D] -> [B, Hkv, G, S, D]: the query heads of a group beside their key-value head."""
    return x.reshape(x.shape[0], kv_heads, x.shape[1] // kv_heads, *x.shape[2:])


def key_shifted(
    case: AttentionCase, inputs: AttentionInputs, rows: Tensor, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    return oracle(case, replace(inputs, k=inputs.k.roll(1, dims=2)), rows)


PROBES = (
    Probe("zeros", lambda case: True, zeros),
    Probe("one key shifted", has_choice, key_shifted),
    Probe("heads permuted", heads_differ, heads_permuted),
    *probes_of_variants(oracle),
)
