"""Inputs of operator `linear`, and how they are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW, dynamic, static
from attnlab.bench.llm.quantization.captured_linear import captured_linear
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise, tell
from attnlab.bench.llm.quantization.grouped import MINIMUM, SCALE
from attnlab.bench.llm.quantization.weight import QuantizedWeight
from attnlab.bench.ops._shared import wide_sums
from attnlab.bench.ops._shared.rowwise import draw, weight_generator
from attnlab.bench.ops.linear.case import LinearCase

NEEDLE_DRAWS = 2
CALIBRATION_ROWS, CALIBRATION_SEED = 512, 0xCA11B8  # no seed of a draw: generators take 32 bits of it
UNEVEN = 0.0625  # how much the numbers of x differ where they are about one
HALF_WAY = 7.5  # between codes 0 and 15
LEAST_STEP = 2.0**-14  # that float16 has all bits of
FP8_PEAK = 32.0
"""As `wide_sums.PEAK` where both sides are eight-bit floats: tensor cores may keep 14 bits of such sums."""


@dataclass(frozen=True)
class LinearInputs:
    """Inputs of linear: x [M, K], weight [N, K], bias [N] or None, in the case's dtype; the output is [M, N] in it too.

    Products are summed in float32 or better, parts of a sum included; float32 is not multiplied as TF32. Of a case with
    a format the weight is `quantized`, and `weight` has no rows. What is multiplied is then what its codes stand for,
    in float32, or rounded to the dtype of x where the format leaves x as it is. Where the format has codes for x too,
    x is what `activation_codes` makes of it; a code whose quotient lies at a boundary may fall to either side.
    """

    x: Tensor = dynamic("rows [M, K]")
    weight: Tensor = static("[N, K]; [0, K] where it is quantised")
    bias: Tensor | None = static("[N], or None", default=None)
    quantized: QuantizedWeight | None = static("the weight of a case with a format", default=None)


def linear_inputs(x: Tensor, weight: Tensor | QuantizedWeight, bias: Tensor | None = None) -> LinearInputs:
    """Inputs of rows and a weight, stored either way."""
    if isinstance(weight, QuantizedWeight):
        return LinearInputs(x, x.new_empty(0, weight.shape[1]), bias, weight)
    return LinearInputs(x, weight, bias)


def draw_rows(case: LinearCase, which: str, seed: int) -> Tensor:
    """x [M, K] in float32 on the CPU; of a captured layer rows of its held-out ones, which may come twice."""
    if case.captured is not None and which != NEEDLE_DRAW:
        held_out = captured_linear(*case.captured).held_out
        return held_out[torch.randint(len(held_out), (case.m,), generator=torch.Generator().manual_seed(seed))].float()
    return draw(torch.Generator().manual_seed(seed), case.m, case.k, source=case.inputs, draw=which)


def redrawn(case: LinearCase, inputs: LinearInputs, seed: int) -> LinearInputs:
    """Other rows for the same weights; a method that scales columns is asked again, as rows are divided by those."""
    if quantisation_method(case.method).column_scale is not None:
        return make_inputs(case, NORMAL_DRAW, seed, inputs.x.device)
    return replace(inputs, x=draw_rows(case, NORMAL_DRAW, seed).to(inputs.x.device, case.torch_dtype))


def make_inputs(case: LinearCase, which: str, seed: int, device: torch.device) -> LinearInputs:
    """Seeded rows, drawn on the CPU, and weights so that an output is about as large as a number of x.

    Needles: by turns the columns of x at edges are larger, so that each output hangs on them; or partial sums are far
    larger than the sum, see `wide_sums`. A ModelWarning says where rows of calibration are few.
    """
    weight, bias = weight_and_bias(case)
    if which == NEEDLE_DRAW and seed % NEEDLE_DRAWS:
        x = 1.0 + UNEVEN * draw(torch.Generator().manual_seed(seed), case.m, case.k)
        x[1::2] *= -1.0
        weight = weight + _ordered(case) * wide_sums.signs(case.k, case.n, seed // NEEDLE_DRAWS)
    else:
        x = draw_rows(case, which, seed)
    x, bias = x.to(device, case.torch_dtype), None if bias is None else bias.to(device, case.torch_dtype)
    format = case.stored_as
    if format is None:
        return LinearInputs(x, weight.to(device, case.torch_dtype), bias)
    method = quantisation_method(case.method)
    chosen = quantise(weight.to(case.torch_dtype), format, method, calibration_rows(case))
    tell(chosen, method)
    if chosen.column_scale is not None:
        x = (x.float() / chosen.column_scale.to(device)).to(case.torch_dtype)
    stored = in_whole_steps(chosen.weight) if which == NEEDLE_DRAW and seed % NEEDLE_DRAWS else chosen.weight
    return linear_inputs(x, stored.to(device), bias)


def weight_and_bias(case: LinearCase) -> tuple[Tensor, Tensor | None]:
    """In float32 on the CPU, as they are before they are stored."""
    if case.captured is not None:
        return captured_linear(*case.captured).weight, None
    weights = weight_generator()
    weight = draw(weights, case.n, case.k, spread=case.k**-0.5)
    return weight, draw(weights, case.n) if case.bias else None


def in_whole_steps(weight: QuantizedWeight) -> QuantizedWeight:
    """Scales that are one power of two, and minima that are whole steps: no dtype rounds what the codes stand for.

    So wide sums tell narrow ones apart from weights that are rounded to the dtype, which is permitted.
    """
    scale = weight.planes.get(SCALE)
    if weight.format.activations != "same" or scale is None or not scale.is_floating_point():
        return weight
    size = float(scale.float().abs().mean().clamp_min(LEAST_STEP))
    step = torch.full_like(scale, 2.0 ** round(math.log2(size))).copysign(scale)
    planes = weight.planes | {SCALE: step}
    if MINIMUM in planes:  # the middle of a group stays where it was
        lowest = planes[MINIMUM].float() + HALF_WAY * (scale.float() - step.float())
        planes[MINIMUM] = ((lowest / step.float()).round() * step.float()).to(scale.dtype)
    return replace(weight, planes=planes)


def _ordered(case: LinearCase) -> float:
    """The part of each weight that has the pattern's sign."""
    share = wide_sums.ordered_share(case.k, case.dtype)
    if case.stored_as is not None and case.stored_as.activations.startswith("fp8"):
        share = min(share, 2 * FP8_PEAK / case.k**0.5)
    return share * float(case.k**-0.5)


def calibration_rows(case: LinearCase) -> Tensor | None:
    """What a method that looks at activations is shown: rows [T, K] of the case's source, which no call is given."""
    if not quantisation_method(case.method).calibrated:
        return None
    if case.captured is not None:
        return captured_linear(*case.captured).calibration
    rows = torch.Generator().manual_seed(CALIBRATION_SEED)
    return draw(rows, CALIBRATION_ROWS, case.k, source=case.inputs)
