"""Attention that is right once, or at another's expense: what a benchmark's second call must find."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs

from .collection import ATTENTION_DEFECTS, always
from .honest import Attention

broken = ATTENTION_DEFECTS.broken


@broken(lambda case: case.head_dim > 1)
class QueriesScaledInPlace(Attention):
    """The scale is multiplied into the caller's queries."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        inputs.q.mul_(inputs.scale)
        return out


@broken(always)
class ValuesOverwritten(Attention):
    """The values serve as scratch memory."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        inputs.v[..., -1, -1] += 1.0
        return out


@broken(lambda case: case.v_head_dim == case.head_dim)
class OutputInQueries(Attention):
    """The output is written over the queries."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return inputs.q.copy_(super().run(inputs))


@broken(always)
class ComputedInPrepare(Attention):
    """All the work is done as set-up, where no clock runs."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> Tensor:
        return super().run(inputs)

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return state


@broken(always)
class ValuesPackedInPrepare(Attention):
    """The values are copied as set-up, although they are drawn anew."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> Tensor:
        return inputs.v.clone()

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return super().run(AttentionInputs(inputs.q, inputs.k, state, inputs.mask, inputs.packed, inputs.scale))


@broken(always)
class PreviousResult(Attention):
    """A call returns what the one before it computed."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> dict[str, Tensor]:
        return {}

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        now = super().run(inputs)
        before = state.get("out", now)
        state["out"] = now
        return before


@broken(always)
class CachedByShape(Attention):
    """A result is kept for each shape and dtype, whatever the values."""

    def __init__(self) -> None:
        self.kept: dict[Any, Tensor] = {}

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        key = (inputs.q.shape, inputs.k.shape, inputs.v.shape, inputs.q.dtype)
        if key not in self.kept:
            self.kept[key] = super().run(inputs)
        return self.kept[key].clone()


@broken(always)
class CachedByAddress(Attention):
    """A result is kept for each place in memory, whatever is there now."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> dict[int, Tensor]:
        return {}

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        if inputs.q.data_ptr() not in state:
            state[inputs.q.data_ptr()] = super().run(inputs)
        return state[inputs.q.data_ptr()].clone()


@broken(always)
class RightEveryOtherCall(Attention):
    """Every second call leaves the output empty."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> list[int]:
        return []

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        state.append(1)
        return out if len(state) % 2 else torch.zeros_like(out)


@broken(always)
class OwnBufferKept(Attention):
    """Later calls leave one row of a buffer of their own as the first call wrote it."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> dict[str, Tensor]:
        return {}

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        out = super().run(inputs)
        if "out" in state:
            out[:, :, -1] = state["out"][:, :, -1]
        state["out"] = out.clone()
        return out


@broken(always)
class SumsKept(Attention):
    """The output is accumulated into a buffer that is cleared only as set-up."""

    def prepare(self, case: Any, inputs: AttentionInputs) -> Tensor:
        return torch.zeros(*inputs.q.shape[:-1], inputs.v.shape[-1], dtype=inputs.q.dtype)

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        return state.add_(super().run(inputs)).clone()
