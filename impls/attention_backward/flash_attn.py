"""The backward pass of FlashAttention-2 alone, by the package flash-attn."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionBackwardInputs, AttentionCase, Needs, implements
from attnlab.impls import _flash_interface

HEAD_MULTIPLE = 8  # of head sizes; the package fills others up in front of this function


@dataclass(frozen=True)
class BackwardCall:
    """The function to call and its keywords; blind: whether some row has no key."""

    function: Callable[..., Any]
    keywords: dict[str, Any]
    blind: bool


@implements(
    "attention_backward",
    name="flash_attn",
    needs=Needs(device="cuda", capability=(8, 0), packages=("flash_attn.flash_attn_interface",)),
    unverified="flash-attn 2.8.3, _flash_attn_backward(dout, q, k, v, out, softmax_lse, dq, dk, dv, dropout_p, …)",
    serves={"mask": ("document",), "softcap": True, "bias": ("alibi",), "packed_keys": True},
)
class FlashAttn:
    """FlashAttention-2's backward, the package flash-attn, on the forward's output and log-sum-exp as given."""

    def supports(self, case: AttentionCase) -> str | None:
        return _flash_interface.limits(case, HEAD_MULTIPLE)

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> BackwardCall:
        module = importlib.import_module("flash_attn.flash_attn_interface")
        keywords: dict[str, Any] = {
            "dropout_p": 0.0,
            "softmax_scale": inputs.scale,
            "causal": case.mask.is_causal,
            "window_size_left": -1 if case.mask.window is None else case.mask.window - 1,
            "window_size_right": -1 if case.mask.window is None else 0,
            "softcap": case.softcap or 0.0,
            "alibi_slopes": inputs.bias_table,
            "deterministic": False,
        }
        blind = any(case.mask.rows_with_keys(q_len, kv_len) < q_len for q_len, kv_len in case.sequences)
        if not case.packed and case.mask.kind != "document":
            return BackwardCall(module._flash_attn_backward, keywords, blind)
        return BackwardCall(module._flash_attn_varlen_backward, keywords | _flash_interface.packs(case, inputs), blind)

    def run(self, inputs: AttentionBackwardInputs, call: BackwardCall) -> tuple[Tensor, Tensor, Tensor]:
        packed = "cu_seqlens_q" in call.keywords
        lse = inputs.lse[0] if packed else inputs.lse  # [Hq, T] or [B, Hq, Sq]
        if call.blind:
            lse = lse.masked_fill(lse == -math.inf, math.inf)  # the kernel's word for a row without a key

        def rows(x: Tensor) -> Tensor:
            return x[0].transpose(0, 1) if packed else x.transpose(1, 2)  # [T, H, D] or [B, S, H, D]

        dq, dk, dv = (torch.empty_like(x) for x in (inputs.q, inputs.k, inputs.v))
        forward = (rows(x) for x in (inputs.dout, inputs.q, inputs.k, inputs.v, inputs.out))
        call.function(*forward, lse, *(rows(x) for x in (dq, dk, dv)), **call.keywords)
        return dq, dk, dv
