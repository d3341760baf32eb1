"""Decoding over pages by torch's scaled_dot_product_attention, after whole pages are gathered."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.bench.llm import Side
from attnlab.impls import _cache, _eager
from attnlab.impls._cache import VisibleKeys


@dataclass(frozen=True)
class State:
    """Pages of each sequence, as many as the longest needs [B, N], and what queries see of the tokens in them.

    Queries that see nothing SDPA answers with NaN.
    """

    pages: Tensor
    visible: VisibleKeys


@implements("decode_attention", name="sdpa_pages", serves=_cache.ADDED)
class SdpaPages:
    """SDPA on pages that are gathered into one block first, with the backend that torch chooses; no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        if not case.placing.paged:
            return f"layout {case.layout} is not served: pages only"
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> State:
        assert inputs.cache.table is not None
        pages = inputs.cache.table[:, : case.placing.pages_for(case.longest)].long()
        return State(pages, _cache.visible_tokens(case, inputs))

    def run(self, inputs: DecodeInputs, state: State) -> Tensor:
        k, v = (_gather(side, state) for side in (inputs.cache.keys, inputs.cache.values))
        q, visible = _eager.normed(inputs.q, inputs.q_norm), state.visible
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=visible.mask, scale=inputs.scale, enable_gqa=q.shape[1] != k.shape[1]
        )
        return out if visible.blind is None else out.masked_fill(visible.blind, 0.0)


def _gather(side: Side, state: State) -> Tensor:
    """A view of a copy, [B, Hkv, S, D]."""
    return side.planes["data"][state.pages].flatten(1, 2)[:, : state.visible.length].transpose(1, 2)
