"""Attention of a rank's queries over one block of keys, and how the results of several blocks are merged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> Pair:
    """q [B, Hq, S, D] over k and v [B, Hkv, T, D] -> the output [B, Hq, S, D] in their dtype, and the natural logarithm
    of the sum of exponentials of its scores, float32 [B, Hq, S]. causal: key j is seen by queries from j on.

    By torch's flash kernel of the device; in float32 on a GPU, which that does not serve, by the memory-efficient one.
    """
    group = q.shape[1] // k.shape[1]
    if not q.is_cuda:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)
        return out, lse
    k, v = (x.repeat_interleave(group, 1) if group > 1 else x for x in (k, v))
    if q.dtype == torch.float32:
        efficient = torch.ops.aten._scaled_dot_product_efficient_attention
        out, lse, *_ = efficient(q, k, v, None, True, 0.0, causal, scale=scale)
        return out, lse[:, :, : q.shape[2]]
    out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, causal, scale=scale)
    return out, lse


@dataclass
class Merged:
    """What attention over the keys so far gives, in float32; nothing before the first block."""

    out: Tensor  # [B, Hq, S, D]
    lse: Tensor  # [B, Hq, S], -inf where no key was seen

    @classmethod
    def empty(cls, q: Tensor) -> Merged:
        return cls(torch.zeros(q.shape, device=q.device), torch.full(q.shape[:-1], -torch.inf, device=q.device))

    def add(self, out: Tensor, lse: Tensor, rows: slice = slice(None)) -> None:
        """Attention of some of the rows over keys beside those so far."""
        before = self.lse[:, :, rows]
        both = torch.logaddexp(before, lse)
        kept, new = ((part - both).exp()[..., None] for part in (before, lse))
        self.out[:, :, rows] = self.out[:, :, rows] * kept + out.float() * new
        self.lse[:, :, rows] = both
