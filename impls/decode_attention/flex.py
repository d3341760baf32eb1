"""Decoding by compiled FlexAttention: a paged cache is one long row of keys, and a mask shows each sequence its own.

Technique: the physical place of a key is turned into its position by a table that the mask looks up, as torch's
experimental paged attention does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, KVCache, Needs, implements
from attnlab.impls import _cache, _compile, _eager, _flex

SMALLEST_PAGE = 128  # a block of keys that the mask can leave out whole


@implements("decode_attention", name="flex", needs=Needs(compiler=True), compiled=True, serves=_cache.VARIANTS)
class Flex:
    """FlexAttention through torch.compile; pages of 128 tokens or more are read where they lie; no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        layout = case.placing
        if layout.paged and layout.order == "hsd":
            return f"layout {case.layout} is not served: keys of one head must lie one page after another"
        if layout.paged and (layout.page_tokens or 0) < SMALLEST_PAGE:
            return (
                f"layout {case.layout} is not served: pages of {SMALLEST_PAGE} tokens or more, the size of its blocks"
            )
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> _flex.State:
        # imported here, since it brings the compiler along, which takes seconds
        from torch.nn.attention.flex_attention import create_block_mask

        positions = _positions(inputs.cache)
        lengths, q_len = inputs.cache.lengths, case.q_len
        permits = _flex.sees(case.mask, inputs.q.device)
        assert permits is not None  # a new token never sees those after it

        def placed(batch: Tensor, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
            return lengths[batch] - q_len + query, positions[batch, key]

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            own, token = placed(batch, query, key)
            return (token >= 0) & permits(own, token, lengths[batch])

        mask = create_block_mask(
            sees, case.batch, None, q_len, positions.shape[1], device=inputs.q.device, BLOCK_SIZE=SMALLEST_PAGE
        )
        grouped = case.q_heads != case.kv_heads
        keywords: dict[str, Any] = {"block_mask": mask, "scale": inputs.scale, "enable_gqa": grouped}
        state = _flex.compiled(keywords, _flex.score_mod(inputs, placed, case.longest + q_len), inputs.sinks)
        with _compile.refusals():
            self.run(inputs, state)  # compiles
        return state

    def run(self, inputs: DecodeInputs, state: _flex.State) -> Tensor:
        k, v = (_rows(inputs.cache, side.planes["data"]) for side in (inputs.cache.keys, inputs.cache.values))
        return state.attend(_eager.normed(inputs.q, inputs.q_norm), k, v, **state.keywords)


def _rows(cache: KVCache, plane: Tensor) -> Tensor:
    """[pages, rows, Hkv, D] -> [B, Hkv, rows, D], or of a paged cache [1, Hkv, pages · rows, D]; a view."""
    return (plane.flatten(0, 1)[None] if cache.layout.paged else plane).transpose(1, 2)


def _positions(cache: KVCache) -> Tensor:
    """The position of the token at each place, for each sequence: [B, places]; -1 where none of its own is."""
    lengths = cache.lengths.long()
    places = cache.page_tokens * (cache.keys.planes["data"].shape[0] if cache.layout.paged else 1)
    positions = torch.full((cache.batch, places), -1, device=lengths.device)
    for sequence, length in enumerate(lengths.tolist()):
        first = max(0, length - cache.layout.kept(length))
        tokens = torch.arange(first, length, device=lengths.device)
        page, place = cache.locate(tokens[None], torch.tensor([sequence], device=lengths.device))
        positions[sequence, (page[0] * cache.page_tokens if cache.layout.paged else 0) + place[0]] = tokens
    return positions
