"""Decoding by torch's SDPA, which reads keys and values of one block a sequence where they lie."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import implements
from attnlab.bench.ops.caching import DecodeCase
from attnlab.bench.ops.decode_attention import DecodeInputs
from attnlab.impls import _cache


@dataclass(frozen=True)
class State:
    """How much of each block is read; which of it a query may see [B, 1, Sq, S], None where all of it; and rows
    [B, 1, Sq, 1] that see nothing, None where all see something."""

    length: int
    permitted: Tensor | None
    blind: Tensor | None


@implements("decode_attention", name="sdpa")
class Sdpa:
    """torch's SDPA on views of contiguous or ring caches, with the backend that torch chooses; no pages, no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        if case.placing.paged:
            return f"layout {case.layout} is not served: SDPA reads one block a sequence, and pages would be copied"
        return _cache.stored_as_is(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> State:
        forbidden = _cache.forbidden_places(case, inputs)
        length = inputs.cache.page_tokens if case.placing.wraps else case.longest
        forbidden = forbidden[..., :length]
        blind = forbidden.all(-1, keepdim=True)
        return State(
            length, ~forbidden if bool(forbidden.any()) else None, blind if bool(blind.any()) else None
        )  # fmt: skip

    def run(self, inputs: DecodeInputs, state: State) -> Tensor:
        k, v = (
            side.planes["data"][:, : state.length].transpose(1, 2) for side in (inputs.cache.keys, inputs.cache.values)
        )
        out = scaled_dot_product_attention(
            inputs.q, k, v, attn_mask=state.permitted, scale=inputs.scale, enable_gqa=inputs.q.shape[1] != k.shape[1]
        )
        return out if state.blind is None else out.masked_fill(state.blind, 0.0)
