"""Honest storing of tokens, one after another, and what breaks when a step is done wrongly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.llm.caches import KVCache, Side
from attnlab.bench.ops.kv_append import AppendCase, AppendInputs

from .collection import Collection

APPEND_DEFECTS = Collection("kv_append")
broken = APPEND_DEFECTS.broken


class Append:
    """The cache's own write, token by token where tokens are encoded alone."""

    def run(self, inputs: AppendInputs, state: Any = None) -> None:
        k, v = self.tokens(inputs)
        self.write(inputs.cache, k, v, self.starts(inputs))

    def tokens(self, inputs: AppendInputs) -> tuple[Tensor, Tensor]:
        return inputs.k, inputs.v

    def starts(self, inputs: AppendInputs) -> Tensor:
        return inputs.starts

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        cache.write(k, v, starts)


class OneByOne(Append):
    """As plain decoding would: a call for each token."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        for token in range(k.shape[2]):
            cache.write(k[:, :, token : token + 1], v[:, :, token : token + 1], starts + token)


HONEST = (Append, OneByOne)


def quantised(case: AppendCase) -> bool:
    return case.cache != "same"


@broken(lambda case: True)
class NothingWritten(Append):
    """The cache stays as it was."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        return


@broken(lambda case: min(case.lengths) > case.q_len)
class OnePlaceEarly(Append):
    """Every token lies one place before its own."""

    def starts(self, inputs: AppendInputs) -> Tensor:
        return inputs.starts - 1


@broken(lambda case: True)
class KeysForValues(Append):
    """Keys are stored on both sides."""

    def tokens(self, inputs: AppendInputs) -> tuple[Tensor, Tensor]:
        return inputs.k, inputs.k


@broken(lambda case: case.kv_heads > 1)
class HeadsReversed(Append):
    """Heads are stored in the opposite order."""

    def tokens(self, inputs: AppendInputs) -> tuple[Tensor, Tensor]:
        return inputs.k.flip(1), inputs.v.flip(1)


@broken(lambda case: case.q_len > 1)
class LastTokenForgotten(Append):
    """All new tokens but the last."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        super().write(cache, k[:, :, :-1], v[:, :, :-1], starts)


@broken(lambda case: case.batch > 1)
class FirstSequenceOnly(Append):
    """The other sequences go without."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        counts = torch.zeros_like(starts)
        counts[0] = k.shape[2]
        cache.write(k, v, starts, counts)


@broken(lambda case: min(case.lengths) > case.q_len)
class TokenBeforeOverwritten(Append):
    """The token before the new ones is written again, as the first of them."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        cache.write(k[:, :, :1], v[:, :, :1], starts - 1)
        super().write(cache, k, v, starts)


@broken(lambda case: case.cache in ("int8_token", "int8_channel", "int4_g32"))
class RoundedDown(Append):
    """Codes are cut toward zero where they should be rounded."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        rounding, Tensor.round = Tensor.round, Tensor.floor  # type: ignore[assignment,method-assign]
        try:
            super().write(cache, k, v, starts)
        finally:
            Tensor.round = rounding  # type: ignore[method-assign]


@broken(lambda case: case.cache in ("int8_token", "fp8_e4m3_token"))
class ScaleNotStored(Append):
    """Codes are written, their scales stay those of what lay there."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        before = [side.planes["scale"].clone() for side in (cache.keys, cache.values)]
        super().write(cache, k, v, starts)
        for side, scale in zip((cache.keys, cache.values), before, strict=True):
            _restored(side, "scale", scale)


@broken(lambda case: case.cache == "int4_g32" and any(first % 32 for first, _ in case.written))
class GroupStartedAnew(Append):
    """A group that is not full is encoded from the new tokens alone."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        assert cache.recent is not None
        cache.recent.zero_()
        super().write(cache, k, v, starts)


@broken(lambda case: case.cache == "int4_g32")
class RecentKeysForgotten(Append):
    """Tokens are encoded, but not kept as they came, for the appends that follow."""

    def write(self, cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
        assert cache.recent is not None
        before = cache.recent.clone()
        super().write(cache, k, v, starts)
        cache.recent.copy_(before)


def _restored(side: Side, name: str, plane: Tensor) -> None:
    side.planes[name].copy_(plane)
