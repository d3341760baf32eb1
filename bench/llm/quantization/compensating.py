"""Codes chosen column by column, each column's error spread over those that are still to come: what GPTQ does."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.choosing import Chosen
from attnlab.bench.llm.quantization.coding import Planes, WeightFormat
from attnlab.bench.llm.quantization.formats.sparse_2_4 import SparseCodec
from attnlab.bench.llm.quantization.losses import second_moments
from attnlab.bench.llm.quantization.weight import stored

LEAST_DAMPING = 0.01  # of the mean of the Hessian's diagonal
COLUMNS_AT_ONCE = 128  # whose errors reach the columns after them in one product


def refuses_pruning(format: WeightFormat) -> str | None:
    """Why a method that rounds cannot choose for a format."""
    if isinstance(format.codec, SparseCodec):
        return "it leaves numbers out and rounds none; take rtn, by magnitude, or wanda, by activations"
    return None


def choose_in_order(
    weight: Tensor, format: WeightFormat, activations: Tensor | None, largest_first: bool = False
) -> Chosen:
    """GPTQ; largest_first: columns in the order of the Hessian's diagonal, with the steps of the original weight."""
    assert activations is not None
    n, k = weight.shape
    codec, size = format.codec, format.codec.group(k)
    hessian, notes = _damped(activations)
    order = hessian.diagonal().argsort(descending=True) if largest_first else torch.arange(k, device=weight.device)
    spread = _spreading(hessian[order][:, order]).to(weight.dtype)

    left = weight[:, order]  # what columns are to stand for by now, in that order
    grouped = weight.unflatten(1, (-1, size))
    steps = codec.fit(grouped)
    codes = codec.codes(grouped, steps)
    refitted: list[Planes] = []
    fits_by_group = format.rows_apart and not largest_first
    for start in range(0, k, COLUMNS_AT_ONCE):
        stop = min(start + COLUMNS_AT_ONCE, k)
        errors = torch.zeros(n, stop - start, dtype=weight.dtype, device=weight.device)
        for place, column in zip(range(start, stop), order[start:stop].tolist(), strict=True):
            group, within = divmod(column, size)
            if fits_by_group and not within:
                refitted.append(codec.fit(left[:, None, column : column + size]))
            own = refitted[group] if fits_by_group else _of_group(steps, group)
            code = codec.codes(left[:, place, None, None], own)
            codes[:, group, within] = code[:, 0, 0]
            error = (left[:, place] - codec.values(code, own)[:, 0, 0]) / spread[place, place]
            left[:, place:stop] -= error[:, None] * spread[place, place:stop]
            errors[:, place - start] = error
        left[:, stop:] -= errors @ spread[start:stop, stop:]
    if fits_by_group:
        steps = {name: torch.cat([own[name] for own in refitted], dim=1) for name in steps}
    return Chosen(stored(weight, format, codes, steps), notes=notes)


def damping(tokens: int, k: int) -> float:
    """How much is added to the Hessian's diagonal, as a share of its mean: K / T, or a hundredth where that is more.

    The fewer tokens for a column, the more of what they seem to have in common is chance. With a hundredth alone, as in
    the paper, 4096 tokens make `down` of SmolLM2, of 1536 columns, worse on other texts than nearest codes are.
    """
    return max(LEAST_DAMPING, k / tokens)


def _damped(activations: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """The Hessian [K, K] in float64, and what is to be said of it."""
    hessian = second_moments(activations).double()
    tokens, k = activations.shape
    mean, share = float(hessian.diagonal().mean()), damping(tokens, k)
    hessian.diagonal().add_(share * mean if mean > 0 else 1.0)
    if tokens >= k:
        return hessian, ()
    return hessian, (
        f"{tokens} tokens of calibration for {k} columns: the Hessian could not be inverted without its damping, "
        f"{share:.0%} of its mean diagonal; take more texts",
    )


def _spreading(hessian: Tensor) -> Tensor:
    """Upper triangular: row i says how the error of column i is spread over itself and those that follow."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    spread: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return spread


def _of_group(steps: Mapping[str, Tensor], group: int) -> Planes:
    return {name: step[:, group : group + 1] if step.shape[1] > 1 else step for name, step in steps.items()}
