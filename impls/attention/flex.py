"""Compiled FlexAttention: the mask is a function, and blocks that it forbids whole are skipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from attnlab.bench import AttentionInputs, Case, Needs, implements
from attnlab.bench.llm import segments_of
from attnlab.impls import _compile

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

PROMPT_KERNEL = {"FORCE_USE_FLEX_ATTENTION": True}  # that of decoding, taken below 128 queries, may not fit them
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (batch, head, query, key) -> permitted


@dataclass(frozen=True)
class State:
    """The compiled function, which blocks of 128 keys each block of 128 queries visits, and the kernel to take."""

    attend: Callable[..., Tensor]
    block_mask: BlockMask | None
    kernel_options: dict[str, Any] | None


@implements("attention", name="flex", needs=Needs(compiler=True), compiled=True)
class Flex:
    """FlexAttention through torch.compile: Triton on CUDA, C++ on the CPU; the block mask is set-up."""

    def prepare(self, case: Case, inputs: AttentionInputs) -> State:
        # imported here, since it brings the compiler along, which takes seconds
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        mask_mod = _mask_mod(inputs)
        q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
        block_mask = mask_mod and create_block_mask(mask_mod, None, None, q_len, kv_len, device=inputs.q.device)
        state = State(_compile.compile_whole(flex_attention), block_mask, PROMPT_KERNEL if inputs.q.is_cuda else None)
        with _compile.refusals():
            self.run(inputs, state)  # compiles
        return state

    def run(self, inputs: AttentionInputs, state: State) -> Tensor:
        return state.attend(
            inputs.q,
            inputs.k,
            inputs.v,
            block_mask=state.block_mask,
            scale=inputs.scale,
            enable_gqa=inputs.q.shape[1] != inputs.k.shape[1],
            kernel_options=state.kernel_options,
        )


def _mask_mod(inputs: AttentionInputs) -> MaskMod | None:
    """The contract's mask as a function of indices; None where every query sees every key."""
    from torch.nn.attention.flex_attention import and_masks  # imported here as above

    mods: list[MaskMod] = []
    shift, window = inputs.k.shape[2] - inputs.q.shape[2], inputs.mask.window
    if inputs.mask.is_causal:
        mods.append(lambda batch, head, query, key: key <= query + shift)
    if window is not None:
        mods.append(lambda batch, head, query, key: key > query + shift - window)
    if inputs.packed is not None:
        segment = segments_of(inputs.packed, inputs.q.shape[2])
        mods.append(lambda batch, head, query, key: segment[query] == segment[key])
    return and_masks(*mods) if mods else None
