"""Samples tokens from logits: the most likely one, or one drawn by the part `sampling`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench import SamplingCase, SamplingInputs, SamplingParams
from attnlab.impls.generate._engine.parts import Kernel, Parts

BELOW_ONE = 1 - 2.0**-24  # rounding to float32 may reach 1, which no draw may be
MOST_SHAPES = 1024  # that are kept at a time: histories of a server's requests are of ever other lengths


def uniforms_of(seed: int, request: int, count: int, stream: int = 0) -> Tensor:
    """The first `count` numbers of a request's stream, float64 [count] in [0, 1)."""
    mixed = (seed * 1_000_003 + request) * 4 + stream
    generator = torch.Generator().manual_seed(mixed % (1 << 63))
    return torch.rand(count, generator=generator, dtype=torch.float64)


class Sampler:
    """Draws with numbers that belong to a request and a place in its answer, whatever else is in the batch."""

    def __init__(self, params: SamplingParams, parts: Parts, seed: int) -> None:
        self.params, self._parts, self._seed = params, parts, seed
        self._kernels: dict[tuple[int, ...], Kernel] = {}

    def uniforms(self, request: int, count: int, stream: int = 0) -> Tensor:
        """The first `count` numbers of a request's stream, float64 [count] in [0, 1)."""
        return uniforms_of(self._seed, request, count, stream)

    def sample(self, logits: Tensor, uniforms: Tensor, seen: Tensor | None = None) -> Tensor:
        """One token for each row of logits [B, V], int64 [B]: by uniforms [B], unless greedy.

        seen: int64 [B, L], the ids so far, where repetition is penalised.
        """
        params = self.params
        if params.greedy and not params.penalises:
            return logits.argmax(-1)
        numbers = uniforms[:, None].float().clamp_max(BELOW_ONE).to(logits.device)
        inputs = SamplingInputs(logits, numbers, params, seen if params.penalises else None)
        key = (*logits.shape, -1 if inputs.seen is None else inputs.seen.shape[1])
        if key not in self._kernels:
            if len(self._kernels) >= MOST_SHAPES:
                self._kernels.clear()
            self._kernels[key] = self._parts.kernel("sampling", self._case(inputs), inputs)
        out: Tensor = self._kernels[key](inputs)
        return out[:, 0]

    def _case(self, inputs: SamplingInputs) -> SamplingCase:
        batch, vocab = inputs.logits.shape
        p = self.params
        return SamplingCase(
            batch=batch,
            vocab=vocab,
            dtype=str(inputs.logits.dtype).removeprefix("torch."),
            temperature=p.temperature,
            top_k=p.top_k,
            top_p=p.top_p,
            min_p=p.min_p,
            repetition_penalty=p.repetition_penalty,
            history=None if inputs.seen is None else inputs.seen.shape[1],  # type: ignore[arg-type]
        )


def pad_rows(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as int64 [B, longest], filled up with -1, which is no id."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows])
