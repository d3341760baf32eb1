"""What implementations over a key-value cache share: which tokens a query may see, and planes by codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AppendInputs, DecodeCase, DecodeInputs
from attnlab.bench.llm import Side
from attnlab.impls import _eager

STORED: dict[str, Any] = {"layout": True, "v_head_dim": True}
"""Of storing tokens: latent layouts, and values of another size than keys."""
ADDED: dict[str, Any] = {"mask": True, "bias": True, "qk_norm": True}
"""What SDPA serves, which adds to scores: a sink would need a copy of the cache, with one token more."""
VARIANTS: dict[str, Any] = {**ADDED, "softcap": True, "sinks": True}
SERVES: dict[str, Any] = {**VARIANTS, **STORED}

CODECS = {
    "same": ("same", "same"),
    "int8_token": ("int8_token", "int8_token"),
    "int8_channel": ("int8_channel", "int8_token"),
    "fp8_e4m3": ("fp8_tensor", "fp8_tensor"),
    "fp8_e4m3_token": ("fp8_token", "fp8_token"),
    "int4_g32": ("int4_channel", "int4_token"),
}
"""Our kernels' word for how a format stores keys and values."""


def new_tokens(inputs: AppendInputs) -> tuple[tuple[Side, Tensor], ...]:
    """What is stored and where: keys, and values where they have planes of their own."""
    keys = (inputs.cache.keys, inputs.k)
    return (keys,) if inputs.cache.layout.latent else (keys, (inputs.cache.values, inputs.v))


def matrix(case: DecodeCase, inputs: DecodeInputs) -> _eager.Matrix:
    """What every query sees of tokens at positions 0 to the longest length, and the bias of each."""
    positions = torch.arange(case.longest, device=inputs.q.device).expand(case.batch, -1)
    return _eager.Matrix(forbidden_tokens(case, inputs), _bias(case, inputs, positions))


def attend_gathered(inputs: DecodeInputs, matrix: _eager.Matrix) -> Tensor:
    """Eager attention over the whole cache, gathered and decoded into [B, Hkv, S, D]."""
    assert matrix.forbidden is not None
    k, v = (x.to(inputs.q.dtype) for x in inputs.cache.read(length=matrix.forbidden.shape[3]))
    q = _eager.normed(inputs.q, inputs.q_norm)
    return _eager.attend(q, k, v, matrix, inputs.scale, inputs.softcap, inputs.sinks)


def forbidden_tokens(case: DecodeCase, inputs: DecodeInputs) -> Tensor:
    """True where a query may not see a token: [B, 1, Sq, S] for positions 0 to the longest length."""
    positions = torch.arange(case.longest, device=inputs.q.device)
    return ~_mask(case, inputs, positions.expand(case.batch, -1))


def forbidden_places(case: DecodeCase, inputs: DecodeInputs) -> Tensor:
    """The same for the places of a layout without pages, [B, 1, Sq, places]: in a ring, the token that is there."""
    return ~_mask(case, inputs, _places(case, inputs))


def _places(case: DecodeCase, inputs: DecodeInputs) -> Tensor:
    """The position of the token at each place of a layout without pages [B, places]; negative where none was stored."""
    cache = inputs.cache
    places = torch.arange(cache.page_tokens, device=inputs.q.device)[None, :]
    if not cache.layout.wraps:
        return places.expand(case.batch, -1)
    lengths = cache.lengths.long()[:, None]
    return lengths - 1 - (lengths - 1 - places) % cache.page_tokens


@dataclass(frozen=True)
class VisibleKeys:
    """What queries see of a block.

    length: how much of each block is read. mask: which of it a query may see, bool [B, 1, Sq, S]; None where all of it;
    with a bias what is added to scores, float32 [B, Hq, Sq, S].
    blind: queries that see nothing, bool [B, 1, Sq, 1]; None where all see something.
    """

    length: int
    mask: Tensor | None
    blind: Tensor | None


def block_limits(case: DecodeCase) -> str | None:
    """The reason of implementations that read one block a sequence, as it lies."""
    if case.placing.paged:
        return f"layout {case.layout} is not served: SDPA reads one block a sequence, and pages would be copied"
    return format_limits(case)


def visible_keys(case: DecodeCase, inputs: DecodeInputs) -> VisibleKeys:
    """What of a layout without pages a case's queries see."""
    length = inputs.cache.page_tokens if case.placing.wraps else case.longest
    forbidden = forbidden_places(case, inputs)[..., :length]
    return seen_of(forbidden, _bias(case, inputs, _places(case, inputs)[:, :length]))


def visible_tokens(case: DecodeCase, inputs: DecodeInputs) -> VisibleKeys:
    """What of all tokens, in order, a case's queries see."""
    known = matrix(case, inputs)
    assert known.forbidden is not None
    return seen_of(known.forbidden, known.bias)


def seen_of(forbidden: Tensor, bias: Tensor | None) -> VisibleKeys:
    """The same as SDPA takes it."""
    blind = forbidden.all(-1, keepdim=True)
    mask = ~forbidden if bool(forbidden.any()) else None
    if bias is not None:
        mask = bias.masked_fill(forbidden, float("-inf"))
    return VisibleKeys(forbidden.shape[-1], mask, blind if bool(blind.any()) else None)


def block(inputs: DecodeInputs, length: int) -> tuple[Tensor, Tensor]:
    """Keys and values [B, Hkv, S, D] of the first places of each sequence's block, as views."""
    keys, values = (
        side.planes["data"][:, :length].transpose(1, 2) for side in (inputs.cache.keys, inputs.cache.values)
    )
    return keys, values


def _mask(case: DecodeCase, inputs: DecodeInputs, positions: Tensor) -> Tensor:
    """True where a query may see the token at a position: [B, 1, Sq, S] for positions [B, S]."""
    lengths = inputs.cache.lengths.long()[:, None, None, None]
    token = positions[:, None, None, :]
    seen = case.mask.sees(_query_positions(case, inputs), token, lengths)
    return seen & (token >= 0) & (token < lengths)


def _bias(case: DecodeCase, inputs: DecodeInputs, positions: Tensor) -> Tensor | None:
    """What is added to scores of tokens at positions [B, S]: float32 [B, Hq, Sq, S]; None where nothing is."""
    if inputs.bias_table is None:
        return None
    distance = positions[:, None] - _query_positions(case, inputs)[:, 0]  # [B, Sq, S]
    return inputs.bias.of(inputs.bias_table, distance, inputs.mask.is_causal).transpose(0, 1)


def _query_positions(case: DecodeCase, inputs: DecodeInputs) -> Tensor:
    """[B, 1, Sq, 1]"""
    rows = torch.arange(case.q_len, device=inputs.q.device)[:, None]
    return inputs.cache.lengths.long()[:, None, None, None] - case.q_len + rows


def format_limits(case: DecodeCase) -> str | None:
    """The reason of implementations that read no codes."""
    return None if case.cache == "same" else f"cache {case.cache} is not served: keys and values of the dtype only"
