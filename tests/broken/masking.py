"""Attention that lets the wrong keys through."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs

from .collection import ATTENTION_DEFECTS, forbids, pairs
from .honest import Attention, Unnormalised

broken, broken_pairs = ATTENTION_DEFECTS.broken, ATTENTION_DEFECTS.broken_pairs


def has_empty_rows(case: AttentionCase) -> bool:
    return case.mask.is_causal and case.q_len > case.kv_len


def partly_forbids(case: AttentionCase) -> bool:
    """Some query sees keys, but not all of them."""
    seen = pairs(Attention(), case).sum(-1)
    return bool(((seen > 0) & (seen < case.kv_len)).any())


@broken_pairs
class OneKeyAhead(Attention):
    """The causal mask lets the next key through."""

    ahead = 1


@broken_pairs
class OneKeyBehind(Attention):
    """The causal mask forbids a query's own position."""

    ahead = -1


@broken_pairs
class TopLeft(Attention):
    """Aligned top-left, as `is_causal` of torch's own attention is."""

    def positions(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        position, key = super().positions(inputs)
        return position - position[0], key


@broken_pairs
class MaskIgnored(Attention):
    """Sequences are kept apart, and nothing else."""

    def permitted(self, inputs: AttentionInputs) -> Tensor:
        return self.same_sequence(inputs)


@broken_pairs
class UpperTriangle(Attention):
    """The wrong triangle: a query sees what comes after it."""

    def permitted(self, inputs: AttentionInputs) -> Tensor:
        position, key = self.positions(inputs)
        return self.same_sequence(inputs) & (key >= position) if inputs.mask.is_causal else self.same_sequence(inputs)


@broken_pairs
class WindowTooWide(Attention):
    """One key too many at the far end."""

    widen = 1


@broken_pairs
class WindowTooNarrow(Attention):
    """One key too few at the far end."""

    widen = -1


@broken_pairs
class WindowIgnored(Attention):
    """Causal, however far back."""

    widen = 1 << 30


@broken_pairs
class WindowBothWays(Attention):
    """A window that reaches as far ahead as back."""

    def permitted(self, inputs: AttentionInputs) -> Tensor:
        if inputs.mask.window is None:
            return super().permitted(inputs)
        position, key = self.positions(inputs)
        return self.same_sequence(inputs) & ((key - position).abs() < inputs.mask.window)


@broken_pairs
class PackLeaks(Attention):
    """Packed sequences are taken for one."""

    def same_sequence(self, inputs: AttentionInputs) -> Tensor:
        return torch.ones_like(super().same_sequence(inputs))


@broken_pairs
class PackLeaksOneToken(Attention):
    """Each boundary but the last is one token late: a sequence's first token belongs to the one before."""

    def same_sequence(self, inputs: AttentionInputs) -> Tensor:
        if inputs.packed is None:
            return super().same_sequence(inputs)
        token = torch.arange(inputs.q.shape[2])
        number = torch.searchsorted(inputs.packed[1:-1].long().contiguous(), token)
        return number[:, None] == number[None, :]


@broken(forbids)
class WeakMask(Attention):
    """Forbidden scores are lowered by ten, which data seldom outweighs."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        return (scores - 10.0 * ~permitted).softmax(-1)


@broken(partly_forbids)
class MaskAfterSum(Unnormalised):
    """Forbidden keys give nothing to the output, but count in the sum of exponentials."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        weights, total, _ = self.weights(scores, torch.ones_like(permitted))
        return self.weigh(weights * permitted, v) / total


@broken(has_empty_rows)
class EmptyRowsNaN(Attention):
    """A row without keys is the softmax of nothing."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        return scores.masked_fill(~permitted, -math.inf).softmax(-1)


@broken(has_empty_rows)
class EmptyRowsMean(Attention):
    """A row without keys is the mean of all values, for -inf is a large finite number."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        return scores.masked_fill(~permitted, -1e9).softmax(-1)
