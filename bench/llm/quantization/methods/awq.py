"""Columns of large activations are multiplied before they are rounded, so that they lose less; then groups are clipped.

Technique: AWQ (Lin et al., 2024, arXiv:2306.00978). Scales are the mean magnitudes of the activations to a power, which
is searched on the calibration activations. Whoever holds the layer before divides its output by them. A group's range
is then cut to a share that is searched for each row and group, and kept where the row's output loses less with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.choosing import Chosen, Method, Tied
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.column_scales import least_lossy, powers_of
from attnlab.bench.llm.quantization.compensating import refuses_pruning
from attnlab.bench.llm.quantization.losses import losses_of_rows, second_moments
from attnlab.bench.llm.quantization.weight import QuantizedWeight, nearest_values, stored

EXPONENTS = tuple(step / 20 for step in range(20))  # the first leaves columns as they are
SHARES = tuple(1.0 - step / 20 for step in range(10))


def column_scale(weight: Tensor, format: WeightFormat, activations: Tensor, tied: Tied) -> Tensor:
    """The scale [K] of the least loss in the output when codes are then the nearest ones."""
    moments = second_moments(activations)

    def loss_of(scale: Tensor) -> float:
        change = nearest_values(weight * scale, format) / scale - weight
        return float(losses_of_rows(change, moments).sum())

    return least_lossy(map(tied, powers_of(activations.abs().mean(0), EXPONENTS)), loss_of)


def choose(weight: Tensor, format: WeightFormat, activations: Tensor | None) -> Chosen:
    """Codes with the groups' ranges clipped where that helps; of a weight whose columns are scaled already."""
    assert activations is not None
    moments = second_moments(activations)
    plain = _rounded(weight, format)
    limits = _limits(weight, format, moments)
    clipped = _rounded(weight, format, limits)
    before, after = (losses_of_rows(made.dequantised() - weight, moments) for made in (plain, clipped))
    if not format.rows_apart:
        return Chosen(clipped if float(after.sum()) < float(before.sum()) else plain)
    limits[before <= after] = torch.inf
    return Chosen(_rounded(weight, format, limits))


def _limits(weight: Tensor, format: WeightFormat, moments: Tensor) -> Tensor:
    """The largest magnitude of each row and group, [N, G, 1], that loses least within the group."""
    codec = format.codec
    size = codec.group(weight.shape[1])
    grouped = weight.unflatten(1, (-1, size))
    groups = grouped.shape[1]
    within = moments.view(groups, size, groups, size).diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # [G, g, g]
    largest = grouped.abs().amax(-1, keepdim=True)
    least: Tensor = torch.full_like(largest, torch.inf)
    limits: Tensor = largest
    for share in SHARES:
        cut = grouped.clamp(-share * largest, share * largest)
        steps = codec.fit(cut)
        change = (codec.values(codec.codes(cut, steps), steps) - grouped).transpose(0, 1)  # [G, N, g]
        loss = ((change @ within) * change).sum(-1, keepdim=True).transpose(0, 1)
        limits = torch.where(loss < least, share * largest, limits)
        least = torch.minimum(loss, least)
    return limits


def _rounded(weight: Tensor, format: WeightFormat, limits: Tensor | None = None) -> QuantizedWeight:
    codec = format.codec
    grouped = weight.unflatten(1, (-1, codec.group(weight.shape[1])))
    cut = grouped if limits is None else grouped.clamp(-limits, limits)
    steps = codec.fit(cut)
    return stored(weight, format, codec.codes(cut, steps), steps)


METHOD = Method(
    "awq", "AWQ: columns scaled by their activations, groups clipped", choose, True, refuses_pruning, column_scale
)
