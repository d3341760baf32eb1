"""Operator `decode_attention`: attention of a few new tokens a sequence over a key-value cache."""

from __future__ import annotations

import torch

from attnlab.bench.contract.error_budget import ErrorBudget
from attnlab.bench.contract.operator_spec import DrawMix, Fact, Operator, TensorSpec, columns
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import variants
from attnlab.bench.ops._shared.caching import NEEDLE_DRAWS, DecodeCase, Tokens, draw_tokens, filled_cache
from attnlab.bench.ops._shared.score_rounding import with_roundings
from attnlab.bench.ops.decode_attention import reference as decode_math
from attnlab.bench.ops.decode_attention.inputs import DecodeInputs


def outputs(case: DecodeCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.batch, case.q_heads, case.q_len, case.v_head_dim), case.torch_dtype),)


def operations(case: DecodeCase) -> int:
    """FLOP: two for each multiply-add of q·k and p·v, over the permitted pairs."""
    return 2 * (case.head_dim + case.v_head_dim) * case.pairs * case.q_heads


def bytes_moved(case: DecodeCase) -> int:
    """Queries and the cached tokens that matter, read once, in the cache's own format; lengths; the output, written;
    the numbers of sinks, of a bias and of the queries' norm."""
    seeing = sum(case.mask.rows_with_keys(q, k) for q, k in case.sequences)
    numbers = case.head_dim * seeing + case.v_head_dim * case.batch * case.q_len
    added = variants.bytes_of(case, case.q_len, case.longest, norms=1)
    return case.q_heads * numbers * case.torch_dtype.itemsize + case.cache_bytes(case.seen) + 4 * case.batch + added


def plain_bytes(case: DecodeCase) -> int:
    """Keys or values of the whole context for every query head, decoded and in float32; or the scores of a long chunk,
    what they are masked to, and probabilities."""
    return case.batch * case.q_heads * case.longest * max((2 + 4) * case.head_dim, 3 * 4 * case.q_len)


def make_inputs(case: DecodeCase, draw: str, seed: int, device: torch.device) -> DecodeInputs:
    """Seeded queries and a cache filled with seeded tokens."""
    return _inputs_of(case, draw_tokens(case, draw, seed, device), device)


def _inputs_of(case: DecodeCase, tokens: Tokens, device: torch.device) -> DecodeInputs:
    cache = filled_cache(case, tokens, device, case.lengths)
    added = variants.drawn(case, case.q_len, case.longest, device)
    return DecodeInputs(tokens.q.to(case.torch_dtype), cache, case.mask, case.scale, **added)


def facts(case: DecodeCase, seed: int, device: torch.device) -> tuple[Fact, ...]:
    """What the format costs and what it loses, whoever computes: see `decode_math.format_error`."""
    numbers = case.head_dim + (0 if case.placing.latent else case.v_head_dim)
    values = case.kv_heads * numbers * sum(last - first for first, last in case.seen)
    if not values:
        return ()
    tokens = draw_tokens(case, "drawn", seed, device)
    error = decode_math.format_error(case, _inputs_of(case, tokens, device), tokens)
    return (
        Fact("format_error", "ratio", "lower", error),
        Fact("cache_bits", "bit", "lower", 8 * case.cache_bytes(case.seen) / values),
    )


def mixed(case: DecodeCase, inputs: DecodeInputs) -> dict[str, DrawMix]:
    """Channels of the queries; the cache by tokens, or by heads where its scales are of all tokens of a head."""
    planes = {f"cache.{path}": how for path, how in inputs.cache.mixed().items()}
    return {**columns(inputs, "q"), **planes}


DECODE_ATTENTION: Operator[DecodeCase, DecodeInputs] = Operator(
    name="decode_attention",
    summary="attention of a few new tokens over a key-value cache: layouts, formats, masks, caps, sinks",
    case_type=DecodeCase,
    inputs_type=DecodeInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    plain_bytes=plain_bytes,
    check=with_roundings(
        ErrorBudget(
            sample=decode_math.sample,
            select=decode_math.select,
            oracle=decode_math.oracle,
            yardstick=decode_math.yardstick,
            probes=decode_math.PROBES,
            dtype=lambda case: case.dtype,
        ),
        decode_math.slack,
    ),
    length_axis="context",
    needle_draws=NEEDLE_DRAWS,
    facts=facts,
    mixed=mixed,
    intact=lambda inputs: inputs.cache.guards.violated(),
)
registry.operators.add(DECODE_ATTENTION.name, DECODE_ATTENTION, __name__)
