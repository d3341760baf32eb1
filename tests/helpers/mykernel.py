"""A user's own kernels: a function as the README shows it, and a class that needs more."""

from __future__ import annotations

import my_tiles  # a module beside the plugin
import torch

from attnlab.bench import AttentionCase, AttentionInputs, implements


@implements("attention", name="mine")
def mine(inputs):  # q [B, Hq, Sq, D], k and v [B, Hkv, Sk, D], mask, scale
    """Plain softmax over all keys."""
    group = inputs.q.shape[1] // inputs.k.shape[1]
    k, v = (x.repeat_interleave(group, dim=1).float() for x in (inputs.k, inputs.v))
    scores = inputs.q.float() @ k.mT * inputs.scale
    return (scores.softmax(-1) @ v).to(inputs.q.dtype)  # [B, Hq, Sq, D]


@implements("attention", name="prepared")
class Prepared:
    """The same with its mask made beforehand."""

    def supports(self, case: AttentionCase) -> str | None:
        return "packed sequences are not served" if case.packed else None

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> torch.Tensor:
        rows, keys = torch.arange(case.q_len)[:, None], torch.arange(case.kv_len)
        return keys <= rows + case.kv_len - case.q_len

    def configuration(self, case: AttentionCase) -> str:
        return f"tile {my_tiles.TILE}"

    def run(self, inputs: AttentionInputs, state: torch.Tensor) -> torch.Tensor:
        out = torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, attn_mask=state, scale=inputs.scale, enable_gqa=True
        )
        return out  # noqa: RET504
