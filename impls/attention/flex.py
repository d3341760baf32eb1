"""Compiled FlexAttention: the mask is a function, and blocks that it forbids whole are skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnlab.bench import AttentionInputs, Case, Needs, implements
from attnlab.bench.llm import places_of, segments_of
from attnlab.impls import _compile, _eager, _flex

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

PROMPT_KERNEL = {"FORCE_USE_FLEX_ATTENTION": True}  # that of decoding, taken below 128 queries, may not fit them
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (batch, head, query, key) -> permitted


@implements("attention", name="flex", needs=Needs(compiler=True), compiled=True, serves=_eager.SERVES)
class Flex:
    """FlexAttention through torch.compile: Triton on CUDA, C++ on the CPU; the block mask is set-up."""

    def prepare(self, case: Case, inputs: AttentionInputs) -> _flex.State:
        # imported here, since it brings the compiler along, which takes seconds
        from torch.nn.attention.flex_attention import create_block_mask

        q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
        placed = _placed(inputs)
        mask_mod = _mask_mod(inputs, placed)
        block_mask: BlockMask | None = mask_mod and create_block_mask(
            mask_mod, None, None, q_len, kv_len, device=inputs.q.device
        )
        keywords: dict[str, Any] = {
            "block_mask": block_mask,
            "scale": inputs.scale,
            "enable_gqa": inputs.q.shape[1] != inputs.k.shape[1],
            "kernel_options": PROMPT_KERNEL if inputs.q.is_cuda else None,
        }
        state = _flex.compiled(keywords, _flex.score_mod(inputs, placed, q_len + kv_len), inputs.sinks)
        with _compile.refusals():
            self.run(inputs, state)  # compiles
        return state

    def run(self, inputs: AttentionInputs, state: _flex.State) -> Tensor:
        q, k = _eager.normed(inputs.q, inputs.q_norm), _eager.normed(inputs.k, inputs.k_norm)
        return state.attend(q, k, inputs.v, **state.keywords)


def _placed(inputs: AttentionInputs) -> _flex.Placed:
    """Positions of a query and a key in their own sequence, or in a pack whose sequences have a key a query."""
    q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
    if inputs.packed is None or (inputs.packed_keys is None and inputs.mask.is_band):
        return lambda batch, query, key: (query + (kv_len - q_len), key)
    rows = torch.arange(q_len, device=inputs.q.device)
    places = places_of(rows, q_len, kv_len, inputs.packed, inputs.packed_keys)
    position, token = places.position[:, 0].contiguous(), places.key[0].contiguous()
    return lambda batch, query, key: (position[query], token[key])


def _mask_mod(inputs: AttentionInputs, placed: _flex.Placed) -> MaskMod | None:
    """The contract's mask as a function of indices; None where every query sees every key."""
    from torch.nn.attention.flex_attention import and_masks  # imported here as above

    mods: list[MaskMod] = []
    sees, kv_len = _flex.sees(inputs.mask, inputs.q.device), inputs.k.shape[2]
    if sees is not None:
        mods.append(lambda batch, head, query, key: sees(*placed(batch, query, key), kv_len))
    if inputs.packed is not None:
        segment = segments_of(inputs.packed, inputs.q.shape[2])
        keys = segment if inputs.packed_keys is None else segments_of(inputs.packed_keys, kv_len)
        mods.append(lambda batch, head, query, key: segment[query] == keys[key])
    return and_masks(*mods) if mods else None
