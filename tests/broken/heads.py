"""Attention that takes the wrong head, the wrong batch element or half of a group."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs

from .collection import ATTENTION_DEFECTS, chooses, shares_keys
from .honest import Attention

broken = ATTENTION_DEFECTS.broken


@broken(shares_keys)
class HeadsModulo(Attention):
    """Query heads are dealt round the key-value heads, not in groups."""

    def kv_head(self, q_head: Tensor, inputs: AttentionInputs) -> Tensor:
        return q_head % inputs.k.shape[1]


@broken(lambda case: shares_keys(case) and chooses(case))
class KeyHeadsModulo(Attention):
    """So are they for keys, while values are right."""

    def keys_values(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        _, v = super().keys_values(inputs)
        return inputs.k[:, torch.arange(inputs.q.shape[1]) % inputs.k.shape[1]], v


@broken(shares_keys)
class ValueHeadsModulo(Attention):
    """So are they for values, while keys are right."""

    def keys_values(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        k, _ = super().keys_values(inputs)
        return k, inputs.v[:, torch.arange(inputs.q.shape[1]) % inputs.v.shape[1]]


@broken(lambda case: case.kv_heads > 1)
class FirstHeadForAll(Attention):
    """Every query head gets the first key-value head."""

    def kv_head(self, q_head: Tensor, inputs: AttentionInputs) -> Tensor:
        return torch.zeros_like(q_head)


@broken(lambda case: case.kv_heads > 1)
class LastHeadWrong(Attention):
    """The last query head gets the first key-value head."""

    def kv_head(self, q_head: Tensor, inputs: AttentionInputs) -> Tensor:
        right = super().kv_head(q_head, inputs)
        right[-1] = 0
        return right


@broken(lambda case: case.batch > 1)
class FirstSequenceForAll(Attention):
    """Every batch element attends to the first one's keys and values."""

    def keys_values(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        k, v = super().keys_values(inputs)
        return k[:1].expand_as(k), v[:1].expand_as(v)


@broken(lambda case: case.head_dim > 1 and chooses(case))
class LastChannelDropped(Attention):
    """The scores leave out the last channel."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return super().scores(q[..., :-1], k[..., :-1], scale)
