"""Operator `attention_backward`: the gradients of attention by q, k and v, without the forward's time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget, Probe, YardstickOutput, heads_permuted, zeros
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, TensorSpec, constant, dynamic, static
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared import attention_data, attention_math, variants, wide_sums
from attnlab.bench.ops._shared.variant_probes import has_choice, probes_of_variants
from attnlab.bench.ops.attention import contract as attention
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs

NEEDLE_DRAWS = 2


@dataclass(frozen=True)
class AttentionBackwardCase(AttentionCase):
    """The axes of attention, for its backward pass."""

    kind = "attention_backward"

    def validate(self) -> None:
        super().validate()
        if self.qk_norm != variants.NONE:
            raise ImpossibleCase(
                f"got qk_norm={self.qk_norm}; expected none: gradients are by normed queries and keys, and those of "
                f"the norm are apart"
            )


@dataclass(frozen=True)
class AttentionBackwardInputs(AttentionInputs):
    """What a backward pass gets: the forward's inputs and results, and the gradient of its output.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv], out [B, Hq, Sq, Dv], lse [B, Hq, Sq]
    float32 (natural logarithm of the sum of exponentials, a sink's among them; -inf where there is none), dout
    [B, Hq, Sq, Dv]. All are
    new in each step of training, so that nothing of a forward can be kept from `prepare`: one that is run again counts.
    The outputs are (dq, dk, dv), shaped as q, k and v, in their dtype; their sums are in float32 or better. Sinks and
    biases have no gradient here.
    """

    q: Tensor = dynamic("queries [B, Hq, Sq, D]")
    k: Tensor = dynamic("keys [B, Hkv, Sk, D]")
    v: Tensor = dynamic("values [B, Hkv, Sk, Dv]")
    mask: Mask = constant("which keys a query may see")
    packed: Tensor | None = static("cumulative lengths [N + 1], int32")
    scale: float = constant("what scores are multiplied by, 1/√D")
    out: Tensor = dynamic("the forward's output [B, Hq, Sq, Dv]", kw_only=True)
    lse: Tensor = dynamic("log-sum-exp of the scores [B, Hq, Sq], float32", kw_only=True)
    dout: Tensor = dynamic("gradient of the output [B, Hq, Sq, Dv]", kw_only=True)


def outputs(case: AttentionCase) -> tuple[TensorSpec, ...]:
    keys = (case.batch, case.kv_heads, case.kv_len)
    return (
        TensorSpec("dq", (case.batch, case.q_heads, case.q_len, case.head_dim), case.torch_dtype),
        TensorSpec("dk", (*keys, case.head_dim), case.torch_dtype),
        TensorSpec("dv", (*keys, case.v_head_dim), case.torch_dtype),
    )


def operations(case: AttentionCase) -> int:
    """FLOP of the five products over permitted pairs: scores again, dP, dV, dQ and dK."""
    return 2 * (3 * case.head_dim + 2 * case.v_head_dim) * case.pairs * case.q_heads


def bytes_moved(case: AttentionCase) -> int:
    """What the gradients depend on, q, k, v and dout, read once; dq, dk, dv written once.

    out and lse follow from q, k and v, so that the least traffic does not count them.
    """
    element = case.torch_dtype.itemsize
    rows = sum(q for q, _ in case.sequences)
    keys = sum(k for _, k in case.sequences)
    queries = sum(case.mask.rows_with_keys(q, k) for q, k in case.sequences)
    seen = sum(case.mask.keys_seen(q, k) for q, k in case.sequences)
    read = case.q_heads * queries * (case.head_dim + case.v_head_dim)
    read += case.kv_heads * seen * (case.head_dim + case.v_head_dim)
    written = case.q_heads * rows * case.head_dim + case.kv_heads * keys * (case.head_dim + case.v_head_dim)
    tables = attention.pack_bytes(case) + variants.bytes_of(case, case.q_len, case.kv_len)
    return (read + written) * element + tables


def make_inputs(case: AttentionCase, draw: str, seed: int, device: torch.device) -> AttentionBackwardInputs:
    """Seeded inputs with a forward's results; needles are soft, for a saturated softmax has no gradient.

    By turns keys weigh about alike instead, and gradients of the output cancel, see `wide_sums`.
    """
    shape = (case.batch, case.q_heads, case.q_len, case.v_head_dim)
    dout = torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1))
    q, k, v = attention_data.queries_keys_values(case, draw, seed, attention_data.soft_score(case))
    if draw == NEEDLE_DRAW and seed % NEEDLE_DRAWS:
        q, k, v = attention_data.flat(case, seed)
        short = attention_data.sees_some_only(case)
        dout += wide_sums.ORDERED * wide_sums.signs(case.q_len, case.v_head_dim, short=short).mT
    packed = attention.cumulative_lengths(case.packed, device)
    q, k, v, dout = (x.to(device=device, dtype=case.torch_dtype) for x in (q, k, v, dout))
    plain = AttentionInputs(q, k, v, case.mask, packed, case.scale)
    forward = attention.with_variants(plain, case)
    out, lse = attention_math.forward_with_lse(case, forward)
    given = {f.name: getattr(forward, f.name) for f in fields(forward)}
    return AttentionBackwardInputs(**given, out=out, lse=lse, dout=dout)


def sample_heads(case: AttentionCase) -> Tensor:
    """The key-value heads to compare, each with its group of query heads: all, or first, last and some."""
    cost = operations(case) // case.kv_heads
    wanted = max(2, attention_math.FULL_CHECK_OPERATIONS // max(1, cost))
    if wanted >= case.kv_heads:
        return torch.arange(case.kv_heads)
    others = torch.randperm(case.kv_heads, generator=torch.Generator().manual_seed(case.kv_heads)).tolist()
    return torch.tensor(sorted(list(dict.fromkeys([0, case.kv_heads - 1, *others]))[:wanted]))


def select_heads(grads: tuple[Tensor, ...], heads: Tensor) -> tuple[Tensor, ...]:
    """dq [B, Hkv', G, Sq, D], dk and dv [B, Hkv', Sk, …] of the sampled key-value heads."""
    dq, dk, dv = grads
    heads = heads.to(dq.device)
    return (
        attention_math.grouped(dq, dk.shape[1]).index_select(1, heads),
        dk.index_select(1, heads),
        dv.index_select(1, heads),
    )


def oracle(case: AttentionCase, inputs: AttentionBackwardInputs, heads: Tensor) -> tuple[Tensor, ...]:
    """The gradients in float64, for the sampled key-value heads."""
    return _gradients(_of_heads(inputs, heads), torch.float64, torch.float64)


def yardstick(case: AttentionCase, inputs: AttentionBackwardInputs, heads: Tensor) -> YardstickOutput:
    """What careful code gets: float32 inside; P, dS and the gradients rounded; delta from `out`."""
    part, dtype = _of_heads(inputs, heads), case.torch_dtype
    grads = _gradients(part, torch.float32, dtype)
    terms = _gradients(part, torch.float32, torch.float32, squares=True)
    return YardstickOutput(tuple(grad.to(dtype) for grad in grads), tuple(term.sqrt() for term in terms))


def _gradients(
    inputs: AttentionBackwardInputs, compute: torch.dtype, rounded: torch.dtype, squares: bool = False
) -> tuple[Tensor, ...]:
    """dq [B, Hkv, G, Sq, D], dk and dv [B, Hkv, Sk, …]; or sums of squares of their terms, without a cap's slope."""
    power, sign = (2, 1.0) if squares else (1, -1.0)
    kv_heads, scale = inputs.k.shape[1], inputs.scale**power
    k, v = (x.to(compute)[:, :, None] for x in (inputs.k, inputs.v))  # [B, Hkv, 1, Sk, D]
    dq, dk, dv = [], torch.zeros_like(k), torch.zeros_like(v)
    for rows in attention_math.row_chunks(inputs, torch.arange(inputs.q.shape[2])):
        q, dout, out = (
            attention_math.grouped(x, kv_heads).index_select(3, rows).to(compute)  # [B, Hkv, G, R, D]
            for x in (inputs.q, inputs.dout, inputs.out)
        )
        p, slope = attention_math.probabilities_and_slope(inputs, rows, compute)
        if compute is torch.float64:
            out = p @ v
        p, q, dout, out = p**power, q**power, dout**power, out**power
        delta = (dout * out).sum(-1, keepdim=True)
        ds = p * (dout @ (v**power).mT + sign * delta)
        if slope is not None and not squares:  # where a cap is reached, the slope is what rounding leaves of 1 - 1
            ds = ds * slope
        ds = ds.to(rounded).to(compute)
        p = p.to(rounded).to(compute)
        dq.append(ds @ k**power * scale)
        dk += (ds.mT @ q).sum(2, keepdim=True) * scale
        dv += (p.mT @ dout).sum(2, keepdim=True)
    return torch.cat(dq, dim=3), dk[:, :, 0], dv[:, :, 0]


def _of_heads(inputs: AttentionBackwardInputs, heads: Tensor) -> AttentionBackwardInputs:
    heads = heads.to(inputs.q.device)
    kv_heads = inputs.k.shape[1]

    def queries(x: Tensor) -> Tensor:
        return attention_math.grouped(x, kv_heads).index_select(1, heads).flatten(1, 2)

    def keys(x: Tensor) -> Tensor:
        return x.index_select(1, heads)

    def of_query_heads(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.unflatten(0, (kv_heads, -1)).index_select(0, heads).flatten(0, 1)

    return replace(
        inputs,
        q=queries(inputs.q),
        out=queries(inputs.out),
        lse=queries(inputs.lse),
        dout=queries(inputs.dout),
        k=keys(inputs.k),
        v=keys(inputs.v),
        sinks=of_query_heads(inputs.sinks),
        bias_table=of_query_heads(inputs.bias_table),
    )


def key_shifted(
    case: AttentionCase, inputs: AttentionBackwardInputs, heads: Tensor, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    return oracle(case, replace(inputs, k=inputs.k.roll(1, dims=2)), heads)


ATTENTION_BACKWARD: Operator[AttentionBackwardCase, AttentionBackwardInputs] = Operator(
    name="attention_backward",
    summary="gradients of attention by q, k and v, from the forward's output and log-sum-exp",
    case_type=AttentionBackwardCase,
    inputs_type=AttentionBackwardInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    plain_bytes=attention_math.score_bytes,
    check=ErrorBudget(
        sample=sample_heads,
        select=select_heads,
        oracle=oracle,
        yardstick=yardstick,
        probes=(
            Probe("zeros", lambda case: True, zeros),
            Probe("one key shifted", has_choice, key_shifted),
            Probe("heads permuted", lambda case: case.kv_heads > 1, heads_permuted),
            *probes_of_variants(oracle),
        ),
        dtype=lambda case: case.dtype,
        names=("dq", "dk", "dv"),
    ),
    length_axis="q_len",
    needle_draws=NEEDLE_DRAWS,
    # nothing is mixed: out and lse hang on q, k and v, and weights kept of a draw would serve wherever it came again
)
registry.operators.add(ATTENTION_BACKWARD.name, ATTENTION_BACKWARD, __name__)
