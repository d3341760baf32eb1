"""Attention whose output is empty, unfinished, of another form, or not its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs
from attnlab.bench.store.records import Outcome

from .collection import ATTENTION_DEFECTS, always, chooses
from .honest import Attention

broken = ATTENTION_DEFECTS.broken


@broken(always)
class Zeros(Attention):
    """Nothing is computed."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return torch.zeros_like(super().run(inputs))


@broken(always)
class OneNaN(Attention):
    """One element in the middle is NaN."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        out.view(-1)[out.numel() // 2] = float("nan")
        return out


@broken(always)
class OneRowUnwritten(Attention):
    """The last row of the last head is never written."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        right = super().run(inputs)
        out = torch.empty_like(right)
        flat = out.view(-1, out.shape[-1])
        flat[:-1] = right.view_as(flat)[:-1]
        return out


@broken(always)
class LastRowWrong(Attention):
    """The last row of the last head is off by a tenth of its size."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        out[-1, -1, -1] *= 1.1
        return out


@broken(always, Outcome.WRONG_DTYPE)
class OtherDtype(Attention):
    """Right values, in twice the width."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        return out.double() if out.dtype is torch.float32 else out.float()


def outcome_of_transposed(case: AttentionCase) -> Outcome:
    return Outcome.WRONG_SHAPE if case.q_heads != case.q_len else Outcome.WRONG_VALUES


@broken(lambda case: case.q_heads > 1 or case.q_len > 1, outcome_of_transposed)
class HeadsAfterRows(Attention):
    """Right values as [B, Sq, Hq, Dv]."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return super().run(inputs).transpose(1, 2)


@broken(lambda case: case.q_heads > 1 and case.q_len > 1)
class HeadsAfterRowsReshaped(Attention):
    """Right values in that order in memory, under the right shape."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        return out.transpose(1, 2).reshape(out.shape)


@broken(always, Outcome.WRONG_SHAPE)
class BatchAndHeadsFlat(Attention):
    """Right values as [B·Hq, Sq, Dv]."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return super().run(inputs).flatten(0, 1)


@broken(always, Outcome.WRONG_SHAPE)
class OutputAndMore(Attention):
    """The output with a second tensor beside it."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Any:
        out = super().run(inputs)
        return out, out


@broken(always, Outcome.WRONG_SHAPE)
class NoOutput(Attention):
    """Nothing is returned."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Any:
        return None


@broken(chooses)
class Dropout(Attention):
    """A tenth of the probabilities is dropped, as in training."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        p = super().probabilities(scores, permitted)
        return p * (torch.rand(p.shape, generator=generator) >= 0.1) / 0.9
