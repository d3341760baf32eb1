"""Operator `attention`: softmax(q kᵀ · scale + mask) v over a prompt, for MHA, GQA and MQA."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, TensorSpec, columns
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import attention_data, attention_math, variants
from attnlab.bench.ops._shared.score_rounding import with_roundings
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs

NEEDLE_DRAWS = 3
Given = TypeVar("Given", bound=AttentionInputs)


def outputs(case: AttentionCase) -> tuple[TensorSpec, ...]:
    shape = (case.batch, case.q_heads, case.q_len, case.v_head_dim)
    return (TensorSpec("out", shape, case.torch_dtype),)


def operations(case: AttentionCase) -> int:
    """FLOP: two for each multiply-add of q·k (D) and p·v (Dv), over the permitted pairs.

    Caps, biases, sinks and norms add none, as exponentials add none.
    """
    return 2 * (case.head_dim + case.v_head_dim) * case.pairs * case.q_heads


def bytes_moved(case: AttentionCase) -> int:
    """Queries and keys that matter, read once; the output, written once; cumulative lengths of a pack; the numbers of
    sinks, of a bias and of norms."""
    element = case.torch_dtype.itemsize
    queries = sum(case.mask.rows_with_keys(q, k) for q, k in case.sequences)
    keys = sum(case.mask.keys_seen(q, k) for q, k in case.sequences)
    rows = sum(q for q, _ in case.sequences)
    elements = (
        case.q_heads * queries * case.head_dim
        + case.kv_heads * keys * (case.head_dim + case.v_head_dim)
        + case.q_heads * rows * case.v_head_dim
    )
    return elements * element + pack_bytes(case) + variants.bytes_of(case, case.q_len, case.kv_len)


def pack_bytes(case: AttentionCase) -> int:
    """Cumulative lengths of a pack, and those of its keys where they are others."""
    tables = len({case.packed, case.packed_keys})
    return 4 * tables * (len(case.packed) + 1) if case.packed else 0


def make_inputs(case: AttentionCase, draw: str, seed: int, device: torch.device) -> AttentionInputs:
    """Seeded inputs; drawn on the CPU, so that one seed gives one set of inputs on every device.

    Needles: by turns a key at an edge dominates each row, all keys weigh in some row, or values cancel.
    """
    kind = seed % NEEDLE_DRAWS
    if draw == NEEDLE_DRAW and kind:
        q, k, v = (attention_data.combed if kind == 1 else attention_data.flat)(case, seed)
    else:
        q, k, v = attention_data.queries_keys_values(case, draw, seed)
    q, k, v = (x.to(device=device, dtype=case.torch_dtype) for x in (q, k, v))
    plain = AttentionInputs(q, k, v, case.mask, cumulative_lengths(case.packed, device), case.scale)
    return with_variants(plain, case)


def with_variants(inputs: Given, case: AttentionCase) -> Given:
    """The inputs with what the case adds to plain attention."""
    keys = case.packed_keys if case.packed_keys != case.packed else ()
    made = variants.drawn(case, case.q_len, case.kv_len, inputs.q.device)
    k_norm = variants.drawn_norm(case, 1)
    return replace(
        inputs,
        packed_keys=cumulative_lengths(keys, inputs.q.device),
        **made,
        k_norm=None if k_norm is None else k_norm.to(inputs.q.device),
    )


def cumulative_lengths(lengths: tuple[int, ...], device: torch.device) -> Tensor | None:
    """Where packed sequences begin and end, int32 [N + 1]; None where none are packed."""
    if not lengths:
        return None
    return torch.tensor((0, *lengths)).cumsum(0).to(torch.int32).to(device)


ATTENTION: Operator[AttentionCase, AttentionInputs] = Operator(
    name="attention",
    summary="softmax(q kᵀ · scale + mask) v over a prompt: MHA, GQA, MQA; masks, packs, soft caps, sinks, biases",
    case_type=AttentionCase,
    inputs_type=AttentionInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    plain_bytes=attention_math.score_bytes,
    check=with_roundings(
        ErrorBudget(
            sample=attention_math.sample_rows,
            select=attention_math.select_rows,
            oracle=attention_math.oracle,
            yardstick=attention_math.yardstick,
            probes=attention_math.PROBES,
            dtype=lambda case: case.dtype,
        ),
        attention_math.slack,
    ),
    length_axis="q_len",
    needle_draws=NEEDLE_DRAWS,
    mixed=lambda case, inputs: columns(inputs, "q", "k", "v"),
)
registry.operators.add(ATTENTION.name, ATTENTION, __name__)
