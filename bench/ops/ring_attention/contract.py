"""Operator `ring_attention`: attention over a sequence that several ranks share, keys and values going round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget, Outputs, Probe, YardstickOutput, heads_permuted, zeros
from attnlab.bench.contract.operator_spec import (
    NEEDLE_DRAW,
    Operator,
    Ranks,
    TensorSpec,
    columns,
    constant,
    dynamic,
)
from attnlab.bench.contract.ranks import whole_outputs
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared import attention_math
from attnlab.bench.ops._shared.ranks import world_size
from attnlab.bench.ops._shared.variant_probes import has_choice, heads_differ
from attnlab.bench.ops.attention import contract as attention
from attnlab.bench.ops.attention.case import AttentionInputs
from attnlab.bench.ops.ring_attention.case import RingAttentionCase
from attnlab.bench.ops.ring_attention.data import at_borders

NEEDLE_DRAWS = attention.NEEDLE_DRAWS + 1


@dataclass(frozen=True)
class RingShard:
    """What one rank holds: one block of the sequence or, in zigzag order, two, the earlier one first.

    q [B, Hq, S / p, D], k and v [B, Hkv, S / p, D], contiguous. The rank gives its rows of the output,
    [B, Hq, S / p, D]. Scores and the weighted sums of values are in float32 or better; what the keys of one rank give
    may be rounded to the dtype before it is merged with that of others.
    """

    q: Tensor = dynamic("queries of the rank's blocks [B, Hq, S / p, D]")
    k: Tensor = dynamic("keys of the rank's blocks [B, Hkv, S / p, D]")
    v: Tensor = dynamic("values of the rank's blocks [B, Hkv, S / p, D]")
    rank: int = constant("which rank this is")
    world_size: int = constant("how many there are")
    order: str = constant("contiguous or zigzag")
    mask: Mask = constant("full or causal, by places in the whole sequence")
    scale: float = constant("what scores are multiplied by, 1/√D")


def positions_of(case: RingAttentionCase, rank: int) -> Tensor:
    """Where a rank's tokens stand in the whole sequence, int64 [S / p]."""
    return held_by(case, torch.arange(case.seq_len)[None, None, :, None], rank).flatten()


def held_by(case: RingAttentionCase, x: Tensor, rank: int) -> Tensor:
    """A rank's blocks of x [B, H, S, D] side by side, [B, H, S / p, D]."""
    starts = [block * case.block_len for block in case.blocks_of(rank)]
    return torch.cat([x.narrow(2, start, case.block_len) for start in starts], 2)


def shard(case: RingAttentionCase, inputs: AttentionInputs, rank: int) -> RingShard:
    """A rank's blocks."""
    q, k, v = (held_by(case, x, rank) for x in (inputs.q, inputs.k, inputs.v))
    return RingShard(q, k, v, rank, case.world_size, case.order, inputs.mask, inputs.scale)


def rank_outputs(case: RingAttentionCase, rank: int) -> tuple[TensorSpec, ...]:
    shape = (case.batch, case.q_heads, case.seq_len // case.world_size, case.head_dim)
    return (TensorSpec("out", shape, case.torch_dtype),)


def join(case: RingAttentionCase, outputs: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The ranks' rows [B, Hq, S / p, D] in the order of the sequence, [B, Hq, S, D]."""
    rows = torch.cat([out for (out,) in outputs], 2)
    held = torch.cat([positions_of(case, rank) for rank in range(case.world_size)])
    return (rows.index_select(2, held.argsort().to(rows.device)),)


def make_inputs(case: RingAttentionCase, draw: str, seed: int, device: torch.device) -> AttentionInputs:
    """Those of attention on one device; in one turn of needles each row hangs on a key at a border of blocks."""
    if draw == NEEDLE_DRAW and seed % NEEDLE_DRAWS == attention.NEEDLE_DRAWS:
        q, k, v = (x.to(device=device, dtype=case.torch_dtype) for x in at_borders(case, seed))
        return AttentionInputs(q, k, v, case.mask, None, case.whole.scale)
    turns = seed // NEEDLE_DRAWS * attention.NEEDLE_DRAWS + seed % NEEDLE_DRAWS
    return attention.make_inputs(case.whole, draw, turns, device)


def sample_rows(case: RingAttentionCase) -> Tensor:
    """Rows that are compared: those of attention, and both sides of every border of blocks."""
    borders = torch.arange(0, case.seq_len, case.block_len)
    around = torch.cat([borders, borders + case.block_len - 1])
    rows: Tensor = torch.cat([attention_math.sample_rows(case.whole), around]).unique()
    return rows


def oracle(case: RingAttentionCase, inputs: AttentionInputs, rows: Tensor) -> Outputs:
    return attention_math.oracle(case.whole, inputs, rows)


def yardstick(case: RingAttentionCase, inputs: AttentionInputs, rows: Tensor) -> YardstickOutput:
    """What careful code gets: scores and sums in float32; probabilities, what the keys of each rank give, and the
    output rounded to the dtype, as a flash kernel rounds what it gives."""
    dtype, outs, terms = case.torch_dtype, [], []
    v = inputs.v.float()[:, :, None]  # [B, Hkv, 1, S, D]
    held = [positions_of(case, rank).to(v.device) for rank in range(case.world_size)]
    for part in attention_math.row_chunks(inputs, rows):
        scores, _, _ = attention_math.masked_scores(inputs, part, torch.float32)
        whole = scores.logsumexp(-1, keepdim=True)  # finite: a row sees its own key
        merged = torch.zeros((), device=v.device)
        for keys in held:
            own = scores.index_select(-1, keys)
            lse = own.logsumexp(-1, keepdim=True)
            p = (own - lse).exp().nan_to_num(0.0)  # a rank whose keys are all forbidden
            out = (p.to(dtype).float() @ v.index_select(-2, keys)).to(dtype).float()
            merged = merged + out * (lse - whole).exp()
        outs.append(merged)
        terms.append(((scores - whole).exp().square() @ v.square()).sqrt())
    out, sizes = (torch.cat(parts, dim=3).flatten(1, 2) for parts in (outs, terms))
    return YardstickOutput((out.to(dtype),), (sizes,))


def shared(case: RingAttentionCase) -> bool:
    """Whether there is more than one rank."""
    return case.world_size > 1


def with_shard_twice(case: RingAttentionCase, inputs: AttentionInputs, rows: Tensor, expected: Outputs) -> Outputs:
    """The keys and values of rank 0 in the place of those of the last rank."""
    k, v = inputs.k.clone(), inputs.v.clone()
    held, other = (positions_of(case, rank).to(k.device) for rank in (0, case.world_size - 1))
    for x, whole in ((k, inputs.k), (v, inputs.v)):
        x[:, :, other] = whole[:, :, held]
    return oracle(case, replace(inputs, k=k, v=v), rows)


def with_shards_moved_on(case: RingAttentionCase, inputs: AttentionInputs, rows: Tensor, expected: Outputs) -> Outputs:
    """Each rank's queries in the place of the next one's."""
    q = inputs.q.clone()
    for rank in range(case.world_size):
        held, other = (positions_of(case, r % case.world_size).to(q.device) for r in (rank, rank + 1))
        q[:, :, other] = inputs.q[:, :, held]
    return oracle(case, replace(inputs, q=q), rows)


def without_last_shard(case: RingAttentionCase, inputs: AttentionInputs, rows: Tensor, expected: Outputs) -> Outputs:
    """Zeros where the last rank's rows belong."""
    dropped = torch.isin(rows, positions_of(case, case.world_size - 1)).to(expected[0].device)
    return tuple(out.masked_fill(dropped[:, None], 0.0) for out in expected)


PROBES: tuple[Probe[RingAttentionCase, AttentionInputs], ...] = (
    Probe("zeros", lambda case: True, zeros),
    Probe("heads permuted", lambda case: heads_differ(case.whole), heads_permuted),
    Probe("a rank's keys twice", lambda case: shared(case) and has_choice(case.whole), with_shard_twice),
    Probe("shards in wrong order", lambda case: shared(case) and has_choice(case.whole), with_shards_moved_on),
    Probe("last shard dropped", shared, without_last_shard),
)


def outputs(case: RingAttentionCase) -> tuple[TensorSpec, ...]:
    return attention.outputs(case.whole)


RING_ATTENTION: Operator[RingAttentionCase, AttentionInputs] = Operator(
    name="ring_attention",
    summary="attention over a sequence that ranks share: full, causal in contiguous or zigzag order; MHA, GQA, MQA",
    case_type=RingAttentionCase,
    inputs_type=AttentionInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=lambda case: attention.operations(case.whole),
    bytes_moved=lambda case: attention.bytes_moved(case.whole),
    check=ErrorBudget(
        sample=sample_rows,
        select=attention_math.select_rows,
        oracle=oracle,
        yardstick=yardstick,
        probes=PROBES,
        dtype=lambda case: case.dtype,
    ),
    length_axis="seq_len",
    headlines=("latency_ns", "rank_skew_ns", "share_of_ideal", "hidden_communication", "speedup", "error_of_budget"),
    needle_draws=NEEDLE_DRAWS,
    results=whole_outputs,
    mixed=lambda case, inputs: columns(inputs, "q", "k", "v"),
    ranks=Ranks(world_size, shard, rank_outputs, join),
)
registry.operators.add(RING_ATTENTION.name, RING_ATTENTION, __name__)
