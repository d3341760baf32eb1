"""xFormers' memory-efficient attention, which picks among its own kernels."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, Unavailable, implements
from attnlab.impls import _eager

PADDED = 8  # numbers of which a row of a bias is a multiple in memory


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
    serves={"mask": True, "bias": ("dense",), "qk_norm": True, "packed_keys": True},
)
class Xformers:
    """xFormers' memory_efficient_attention, which picks its FlashAttention or its CUTLASS kernel."""

    def supports(self, case: AttentionCase) -> str | None:
        if case.packed and not case.mask.is_band:
            return f"mask {case.mask} is not served in packed sequences: full, causal and window only"
        if case.packed and any(case.mask.rows_with_keys(q, k) < q or not k for q, k in case.sequences if q):
            return "packed queries that see no key are not served: the package leaves them undefined"
        return None

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> State:
        ops = importlib.import_module("xformers.ops")
        masks = importlib.import_module("xformers.ops.fmha.attn_bias")
        blind = case.q_len - case.mask.rows_with_keys(case.q_len, case.kv_len)
        state = State(ops.memory_efficient_attention, _bias(masks, case, inputs, blind), blind)
        try:
            self.run(inputs, state)
        except NotImplementedError as error:  # none of its kernels serves this; it says why of each
            raise Unavailable(f"xformers: {' '.join(str(error).split())}") from error
        return state

    def run(self, inputs: AttentionInputs, state: State) -> Tensor:
        q, k = _eager.normed(inputs.q, inputs.q_norm), _eager.normed(inputs.k, inputs.k_norm)
        q, k, v = (x.transpose(1, 2) for x in (q[:, :, state.blind :], k, inputs.v))  # [B, S, H, D]
        kv_heads, group = k.shape[2], q.shape[2] // k.shape[2]
        if group > 1:  # [B, S, Hkv, G, D], keys and values repeated by stride 0
            q = torch.unflatten(q, 2, (kv_heads, group))
            k, v = (x.unsqueeze(3).expand(-1, -1, -1, group, -1) for x in (k, v))
        out: Tensor = state.attend(q, k, v, attn_bias=state.bias, scale=inputs.scale)
        out = (out.flatten(2, 3) if group > 1 else out).transpose(1, 2)
        return torch.nn.functional.pad(out, (0, 0, state.blind, 0)) if state.blind else out


def _bias(masks: ModuleType, case: AttentionCase, inputs: AttentionInputs, blind: int) -> Any:
    """The package's object for the case's mask, bottom-right aligned as ours is; or what is added to scores."""
    window, device = case.mask.window, inputs.q.device
    if case.packed:
        keys = None if inputs.packed_keys is None else list(case.packed_keys)
        blocks = masks.BlockDiagonalMask.from_seqlens(list(case.packed), keys, device=device)
        if window is not None:
            return blocks.make_local_attention_from_bottomright(window)
        return blocks.make_causal_from_bottomright() if case.mask.is_causal else blocks
    if case.bias or not case.mask.is_band:
        return _added(case, inputs, blind)
    if window is not None:
        return masks.LowerTriangularFromBottomRightLocalAttentionMask(window)
    return masks.LowerTriangularFromBottomRightMask() if case.mask.is_causal else None


def _added(case: AttentionCase, inputs: AttentionInputs, blind: int) -> Tensor:
    """Mask and bias in one in the dtype of queries, [B, Hq, Sq, Sk] or in groups [B, Hkv, G, Sq, Sk].

    Memory of its rows is padded, as the package asks for.
    """
    rows = torch.arange(blind, case.q_len, device=inputs.q.device)
    forbidden = ~case.mask.permitted(rows, case.q_len, case.kv_len)
    padded = inputs.q.new_zeros(case.q_heads, len(rows), -(-case.kv_len // PADDED) * PADDED)[..., : case.kv_len]
    if inputs.bias_table is not None:
        padded += inputs.bias_table[:, blind:]
    padded.masked_fill_(forbidden, float("-inf"))
    heads = padded if case.q_heads == case.kv_heads else padded.unflatten(0, (case.kv_heads, -1))
    return heads.expand(case.batch, *heads.shape)
