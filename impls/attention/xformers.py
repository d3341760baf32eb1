"""xFormers' memory-efficient attention, which picks among its own kernels."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, Unavailable, implements


@dataclass(frozen=True)
class State:
    """The package's function and mask, and how many first rows have no key to see."""

    attend: Any
    bias: Any
    blind: int


@implements(
    "attention",
    name="xformers",
    needs=Needs(device="cuda", packages=("xformers",)),
    unverified="xformers 0.0.35, memory_efficient_attention(query, key, value, attn_bias=…, scale=…)",
)
class Xformers:
    """xFormers' memory_efficient_attention, which picks its FlashAttention or its CUTLASS kernel."""

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> State:
        ops = importlib.import_module("xformers.ops")
        masks = importlib.import_module("xformers.ops.fmha.attn_bias")
        blind = case.q_len - case.mask.rows_with_keys(case.q_len, case.kv_len)
        state = State(ops.memory_efficient_attention, _bias(masks, case, inputs.q.device), blind)
        try:
            self.run(inputs, state)
        except NotImplementedError as error:  # none of its kernels serves this; it says why of each
            raise Unavailable(f"xformers: {' '.join(str(error).split())}") from error
        return state

    def run(self, inputs: AttentionInputs, state: State) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (inputs.q[:, :, state.blind :], inputs.k, inputs.v))  # [B, S, H, D]
        kv_heads, group = k.shape[2], q.shape[2] // k.shape[2]
        if group > 1:  # [B, S, Hkv, G, D], keys and values repeated by stride 0
            q = torch.unflatten(q, 2, (kv_heads, group))
            k, v = (x.unsqueeze(3).expand(-1, -1, -1, group, -1) for x in (k, v))
        out: Tensor = state.attend(q, k, v, attn_bias=state.bias, scale=inputs.scale)
        out = (out.flatten(2, 3) if group > 1 else out).transpose(1, 2)
        return torch.nn.functional.pad(out, (0, 0, state.blind, 0)) if state.blind else out


def _bias(masks: ModuleType, case: AttentionCase, device: torch.device) -> Any:
    """The package's object for the case's mask, bottom-right aligned as ours is."""
    window = case.mask.window
    if case.packed:
        blocks = masks.BlockDiagonalMask.from_seqlens(list(case.packed), device=device)
        if window is not None:
            return blocks.make_local_attention_from_bottomright(window)
        return blocks.make_causal_from_bottomright() if case.mask.is_causal else blocks
    if window is not None:
        return masks.LowerTriangularFromBottomRightLocalAttentionMask(window)
    return masks.LowerTriangularFromBottomRightMask() if case.mask.is_causal else None
