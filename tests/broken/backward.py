"""Every broken implementation of attention's backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
from attnlab.bench.store.records import Outcome

from . import heads, masking, tiles
from .collection import BACKWARD_DEFECTS, always, chooses, shares_keys
from .gradients import Gradients, Three
from .scoring import is_float32, is_scaled, ten_bits

broken = BACKWARD_DEFECTS.broken
WRONG_PAIRS = (
    masking.OneKeyAhead,
    masking.OneKeyBehind,
    masking.TopLeft,
    masking.MaskIgnored,
    masking.UpperTriangle,
    masking.WindowTooWide,
    masking.WindowTooNarrow,
    masking.WindowIgnored,
    masking.PackLeaks,
    masking.PackLeaksOneToken,
)
for wrong in WRONG_PAIRS:
    BACKWARD_DEFECTS.broken_pairs(type(wrong.__name__, (wrong, Gradients), {"__doc__": wrong.__doc__}))


@broken(shares_keys)
class HeadsModulo(heads.HeadsModulo, Gradients):
    """Query heads are dealt round the key-value heads."""


@broken(lambda case: case.batch > 1)
class FirstSequenceForAll(heads.FirstSequenceForAll, Gradients):
    """Every batch element takes the first one's keys and values."""


@broken(always)
class Zeros(Gradients):
    """Nothing is computed."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        dq, dk, dv = (torch.zeros_like(grad) for grad in super().finish(grads, inputs))
        return dq, dk, dv


@broken(is_scaled)
class QueryGradientUnscaled(Gradients):
    """dq lacks the scale."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        return super().finish((grads[0] / inputs.scale, *grads[1:]), inputs)


@broken(is_scaled)
class KeyGradientUnscaled(Gradients):
    """dk lacks the scale."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        return super().finish((grads[0], grads[1] / inputs.scale, grads[2]), inputs)


@broken(chooses)
class ScaleTwoPercentUp(Gradients):
    """The scale is 2 % too large where scores are worked out again, with a softmax of its own."""

    def scale(self, inputs: Any) -> float:
        return float(inputs.scale) * 1.02

    def weights_of(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return self.probabilities(scores, permitted)


@broken(lambda case: case.kv_heads < case.q_heads)
class FirstOfGroup(Gradients):
    """dk and dv of a group are those of its first query head."""

    def summed(self, of_query_heads: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return of_query_heads[:, :: inputs.q.shape[1] // inputs.k.shape[1]]


@broken(lambda case: case.kv_heads < case.q_heads)
class LastOfGroup(Gradients):
    """Heads of a group write over one another."""

    def summed(self, of_query_heads: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        group = inputs.q.shape[1] // inputs.k.shape[1]
        return of_query_heads[:, group - 1 :: group]


@broken(lambda case: case.kv_heads < case.q_heads, Outcome.WRONG_SHAPE)
class GroupsNotSummed(Gradients):
    """dk and dv come for every query head."""

    def summed(self, of_query_heads: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return of_query_heads


@broken(chooses)
class DeltaOmitted(Gradients):
    """dS is P dP."""

    def score_gradient(self, p: Tensor, dp: Tensor, delta: Tensor) -> Tensor:
        return p * dp


@broken(chooses)
class DeltaAdded(Gradients):
    """dS is P (dP + delta)."""

    def score_gradient(self, p: Tensor, dp: Tensor, delta: Tensor) -> Tensor:
        return p * (dp + delta)


@broken(chooses)
class ProbabilitiesOmitted(Gradients):
    """dS is dP - delta."""

    def score_gradient(self, p: Tensor, dp: Tensor, delta: Tensor) -> Tensor:
        return (dp - delta) * (p > 0)


@broken(lambda case: case.q_len == case.kv_len and chooses(case))
class ValueGradientOfTransposed(Gradients):
    """dv is P dout, not its transpose."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        k, _ = self.keys_values(inputs)
        p = self.weights_of(self.scores(inputs.q.float(), k.float(), inputs.scale), self.permitted(inputs), inputs)
        return super().finish((*grads[:2], self.summed(p @ inputs.dout.float(), inputs)), inputs)


@broken(always)
class OutputForGradient(Gradients):
    """The forward's output stands where its gradient should."""

    def dout(self, inputs: AttentionBackwardInputs) -> Tensor:
        return inputs.out


@broken(always)
class ComputedInPrepare(Gradients):
    """All the work is done as set-up, for the gradient that was there then."""

    def prepare(self, case: Any, inputs: AttentionBackwardInputs) -> Three:
        return super().run(inputs)

    def run(self, inputs: AttentionBackwardInputs, state: Any = None) -> Three:  # type: ignore[override]
        return state  # type: ignore[no-any-return]


@broken(always)
class PreviousResult(Gradients):
    """A call returns what the one before it computed."""

    def prepare(self, case: Any, inputs: AttentionBackwardInputs) -> list[Three]:
        return []

    def run(self, inputs: AttentionBackwardInputs, state: Any = None) -> Three:  # type: ignore[override]
        state.append(super().run(inputs))
        return state[max(0, len(state) - 2)]  # type: ignore[no-any-return]


@broken(always)
class SumsKept(Gradients):
    """Gradients are added to buffers that are cleared only as set-up."""

    def prepare(self, case: Any, inputs: AttentionBackwardInputs) -> list[Tensor]:
        return [torch.zeros_like(x) for x in (inputs.q, inputs.k, inputs.v)]

    def run(self, inputs: AttentionBackwardInputs, state: Any = None) -> Three:  # type: ignore[override]
        dq, dk, dv = (kept.add_(grad).clone() for kept, grad in zip(state, super().run(inputs), strict=True))
        return dq, dk, dv


@broken(always)
class LastTileOfKeysDropped(Gradients):
    """Gradients of the keys of the last tile are left empty."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        for grad in grads[1:]:
            grad[:, :, tiles.last_start(inputs.k.shape[2]) :] = 0.0
        return super().finish(grads, inputs)


@broken(always)
class LastTileOfQueriesDropped(Gradients):
    """The loop over rows of queries stops a tile short: they give nothing to dk and dv."""

    def rounded(self, x: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        x = super().rounded(x, inputs).clone()
        x[:, :, tiles.last_start(inputs.q.shape[2]) :] = 0.0
        return x


@broken(always)
class OneRowUnwritten(Gradients):
    """The last key's gradient in dv is never written."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        dq, dk, dv = super().finish(grads, inputs)
        fresh = torch.empty_like(dv)
        fresh[:, :, :-1] = dv[:, :, :-1]
        return dq, dk, fresh


@broken(always)
class OneNaN(Gradients):
    """One element of dk is NaN."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        grads[1].view(-1)[-1] = float("nan")
        return super().finish(grads, inputs)


@broken(always)
class GradientOverwritten(Gradients):
    """The caller's gradient serves as scratch memory."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        inputs.dout.mul_(2.0)
        return super().finish(grads, inputs)


@broken(always, Outcome.WRONG_DTYPE)
class OtherDtype(Gradients):
    """Right values, in twice the width."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        wide = torch.float64 if inputs.q.dtype is torch.float32 else torch.float32
        dq, dk, dv = (grad.to(wide) for grad in super().finish(grads, inputs))
        return dq, dk, dv


@broken(lambda case: case.q_len != case.kv_len or case.q_heads != case.kv_heads, Outcome.WRONG_SHAPE)
class OtherOrder(Gradients):
    """dk, dq, dv."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        dq, dk, dv = super().finish(grads, inputs)
        return dk, dq, dv


def sums_many_rows(case: Any) -> bool:
    """So many rows see every key that parts of their sum are far larger than it."""
    return not case.mask.is_causal and not case.packed and case.q_len >= (500 if case.dtype == "bfloat16" else 97)


@broken(sums_many_rows)
class ValueGradientInEightParts(Gradients):
    """dv is summed in eight parts of the queries, each rounded to bfloat16."""

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        k, _ = self.keys_values(inputs)
        scores = self.scores(inputs.q.float(), k.float(), self.scale(inputs))
        p = self.rounded(self.weights_of(scores, self.permitted(inputs), inputs), inputs)
        parts = zip(p.tensor_split(8, -2), inputs.dout.float().tensor_split(8, -2), strict=True)
        dv = torch.stack([(some.mT @ dout).bfloat16().float() for some, dout in parts]).sum(0)
        return super().finish((*grads[:2], self.summed(dv, inputs)), inputs)


@broken(lambda case: is_float32(case) and chooses(case))
class TensorFloat32(Gradients):
    """Operands of every product are rounded to ten bits."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return super().scores(ten_bits(q), ten_bits(k), scale)

    def rounded(self, x: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return ten_bits(x)
