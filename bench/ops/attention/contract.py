"""Operator `attention`: softmax(q kᵀ · scale + mask) v over a prompt, for MHA, GQA and MQA."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, TensorSpec, columns
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import attention_data, attention_math
from attnlab.bench.ops._shared.score_rounding import with_roundings
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs

NEEDLE_DRAWS = 3


def outputs(case: AttentionCase) -> tuple[TensorSpec, ...]:
    shape = (case.batch, case.q_heads, case.q_len, case.v_head_dim)
    return (TensorSpec("out", shape, case.torch_dtype),)


def operations(case: AttentionCase) -> int:
    """FLOP: two for each multiply-add of q·k (D) and p·v (Dv), over the permitted pairs."""
    return 2 * (case.head_dim + case.v_head_dim) * case.pairs * case.q_heads


def bytes_moved(case: AttentionCase) -> int:
    """Queries and keys that matter, read once; the output, written once; cumulative lengths of a pack."""
    element = case.torch_dtype.itemsize
    queries = sum(case.mask.rows_with_keys(q, k) for q, k in case.sequences)
    keys = sum(case.mask.keys_seen(q, k) for q, k in case.sequences)
    rows = sum(q for q, _ in case.sequences)
    elements = (
        case.q_heads * queries * case.head_dim
        + case.kv_heads * keys * (case.head_dim + case.v_head_dim)
        + case.q_heads * rows * case.v_head_dim
    )
    table = 4 * (len(case.packed) + 1) if case.packed else 0
    return elements * element + table


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
    return AttentionInputs(q, k, v, case.mask, cumulative_lengths(case, device), case.scale)


def cumulative_lengths(case: AttentionCase, device: torch.device) -> Tensor | None:
    """Where packed sequences begin and end, int32 [N + 1]; None where none are packed."""
    if not case.packed:
        return None
    return torch.tensor((0, *case.packed)).cumsum(0).to(torch.int32).to(device)


ATTENTION: Operator[AttentionCase, AttentionInputs] = Operator(
    name="attention",
    summary="softmax(q kᵀ · scale + mask) v over a prompt: MHA, GQA, MQA; full, causal, window, packed",
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
