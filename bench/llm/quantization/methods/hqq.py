"""Steps fitted to the weight alone, with the few numbers that fit badly set aside.

Technique: half-quadratic quantisation (Badri and Shaji, 2023, HQQ): the error is split into a part that is sparse, by
shrinking it towards 0, and the rest, whose squares are least by a closed form: the minimum of a group where it has one,
as in HQQ, else its scale. Errors are in steps here, so that a weight's size does not matter. Of all rounds each group
keeps the one of the least sum of |error|^0.7, the first of which is rounding to nearest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.choosing import Chosen, Method
from attnlab.bench.llm.quantization.coding import Planes, WeightFormat
from attnlab.bench.llm.quantization.formats.int1_58 import TernaryCodec
from attnlab.bench.llm.quantization.grouped import MINIMUM, SCALE, Int4Codec
from attnlab.bench.llm.quantization.scaled import ScaledCodec
from attnlab.bench.llm.quantization.weight import stored

POWER = 0.7
STIFFNESS, STIFFER = 10.0, 1.01  # of the split, and by how much more in each round
ROUNDS = 20


def choose(weight: Tensor, format: WeightFormat, activations: Tensor | None) -> Chosen:
    codec = format.codec
    grouped = weight.unflatten(1, (-1, codec.group(weight.shape[1])))
    steps = best = codec.fit(grouped)
    least, stiffness = None, STIFFNESS
    for _ in range(ROUNDS):
        codes = codec.codes(grouped, steps)
        error = grouped - codec.values(codes, steps)
        size = steps[SCALE].float().abs()
        apart = torch.where(size > 0, error / size, 0.0)
        loss = apart.abs().pow(POWER).mul(size.pow(POWER)).sum(-1, keepdim=True)
        better = torch.ones_like(loss, dtype=torch.bool) if least is None else loss < least
        least = loss if least is None else torch.minimum(loss, least)
        best = {name: torch.where(better, step, best[name]) for name, step in steps.items()}
        aside = _shrunk(apart, stiffness) * size
        steps = _refitted(grouped - aside, codes, steps, format)
        stiffness *= STIFFER
    return Chosen(stored(weight, format, codec.codes(grouped, best), best))


def _shrunk(x: Tensor, stiffness: float) -> Tensor:
    """What is left of errors, in steps, beyond what the power makes cheap."""
    cheap = x.abs().clamp_min(1e-8).pow(POWER - 1) / stiffness
    return x.sign() * (x.abs() - cheap).clamp_min(0.0)


def _refitted(target: Tensor, codes: Tensor, steps: Planes, format: WeightFormat) -> Planes:
    """The steps of least squares for codes that stay: the minimum, or the scale."""
    if MINIMUM in steps:
        above = codes.float() * steps[SCALE].float()
        return {**steps, MINIMUM: (target - above).mean(-1, keepdim=True).to(steps[MINIMUM].dtype)}
    units = format.codec.values(codes, {SCALE: torch.ones_like(steps[SCALE])})
    squares = units.square().sum(-1, keepdim=True)
    scale = torch.where(squares > 0, (units * target).sum(-1, keepdim=True) / squares, steps[SCALE].float())
    return {**steps, SCALE: scale.to(steps[SCALE].dtype)}


def refuses(format: WeightFormat) -> str | None:
    codec = format.codec
    if isinstance(codec, (Int4Codec, TernaryCodec)) or (isinstance(codec, ScaledCodec) and codec.grid.whole):
        return None
    return "it fits scales or minima of evenly spaced codes, and these are floats, a table or pruned; take rtn"


METHOD = Method("hqq", "HQQ: steps by half-quadratic splitting, without calibration", choose, refuses=refuses)
