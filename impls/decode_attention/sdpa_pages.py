"""Decoding over pages by torch's scaled_dot_product_attention, after whole pages are gathered."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.bench.llm import Side
from attnlab.impls import _cache


@dataclass(frozen=True)
class State:
    """Pages of each sequence, as many as the longest needs [B, N], and the tokens that are looked at in them.

    mask: [B, 1, Sq, S]. blind: [B, 1, Sq, 1], queries that see nothing, which SDPA answers with NaN; None where
    all see something.
    """

    pages: Tensor
    length: int
    mask: Tensor
    blind: Tensor | None


@implements("decode_attention", name="sdpa_pages")
class SdpaPages:
    """SDPA on pages that are gathered into one block first, with the backend that torch chooses; no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        if not case.placing.paged:
            return f"layout {case.layout} is not served: pages only"
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> State:
        assert inputs.cache.table is not None
        forbidden = _cache.forbidden_tokens(case, inputs)
        blind = forbidden.all(-1, keepdim=True)
        pages = inputs.cache.table[:, : case.placing.pages_for(case.longest)].long()
        return State(pages, case.longest, ~forbidden, blind if bool(blind.any()) else None)

    def run(self, inputs: DecodeInputs, state: State) -> Tensor:
        k, v = (_gather(side, state) for side in (inputs.cache.keys, inputs.cache.values))
        out = scaled_dot_product_attention(
            inputs.q, k, v, attn_mask=state.mask, scale=inputs.scale, enable_gqa=inputs.q.shape[1] != k.shape[1]
        )
        return out if state.blind is None else out.masked_fill(state.blind, 0.0)


def _gather(side: Side, state: State) -> Tensor:
    """A view of a copy, [B, Hkv, S, D]."""
    return side.planes["data"][state.pages].flatten(1, 2)[:, : state.length].transpose(1, 2)
