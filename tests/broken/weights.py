"""Honest products with quantised weights, and what breaks when a scale, a code or a sum is not what it should be."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.activations import GRIDS, activation_codes
from attnlab.bench.llm.quantization.coding import Planes
from attnlab.bench.llm.quantization.grouped import MINIMUM, SCALE
from attnlab.bench.ops.linear import probes
from attnlab.bench.ops.linear.inputs import LinearInputs
from attnlab.bench.ops.linear.reference import decoded

from .collection import Collection

WEIGHTS = Collection("linear")
TILE = 64  # columns


class Product:
    """Codes and steps become numbers, which are multiplied in float32: every step a seam."""

    serves: ClassVar = {"format": True}

    def run(self, inputs: LinearInputs, state: Any = None) -> Tensor:
        x, weight = self.activations(inputs), self.weight(inputs)
        out = self.product(x, weight.to(x.dtype))
        return (out if inputs.bias is None else out + inputs.bias.to(out.dtype)).to(inputs.x.dtype)

    def activations(self, inputs: LinearInputs) -> Tensor:
        if _kind(inputs) == "same":
            return inputs.x.float()
        codes, scale = self.token_codes(inputs)
        return codes.float() * scale

    def token_codes(self, inputs: LinearInputs) -> tuple[Tensor, Tensor]:
        return activation_codes(inputs.x, _kind(inputs))

    def weight(self, inputs: LinearInputs) -> Tensor:
        assert inputs.quantized is not None
        return decoded(inputs.quantized, torch.arange(inputs.quantized.shape[0]), self.steps)

    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes, steps

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.T


def _kind(inputs: LinearInputs) -> Any:
    assert inputs.quantized is not None
    return inputs.quantized.format.activations


class RoundedWeights(Product):
    """As most kernels do: what the codes stand for is rounded to the dtype of x, where x has no codes."""

    def weight(self, inputs: LinearInputs) -> Tensor:
        wide = super().weight(inputs)
        return wide.to(inputs.x.dtype).float() if _kind(inputs) == "same" else wide


class RoundedSteps(RoundedWeights):
    """Scales are rounded to the dtype first, and so is what a code of 8 stands for, where there is a minimum."""

    def run(self, inputs: LinearInputs, state: Any = None) -> Tensor:
        self._dtype = inputs.x.dtype if _kind(inputs) == "same" else torch.float32
        return super().run(inputs)

    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        wide = {
            name: steps[name].float() for name in (SCALE, MINIMUM) if name in steps and steps[name].is_floating_point()
        }
        narrow = {name: step.to(self._dtype).float() for name, step in wide.items()}
        if MINIMUM in wide:
            middle = wide[MINIMUM] + 8 * wide[SCALE]
            narrow[MINIMUM] = middle.to(self._dtype).float() - 8 * narrow[SCALE]
        return codes, steps | narrow


class ScaledAfterwards(Product):
    """Whole codes are multiplied, and the sum scaled: by tokens where they have scales of their own."""

    def run(self, inputs: LinearInputs, state: Any = None) -> Tensor:
        if _kind(inputs) == "same":
            return super().run(inputs)
        codes, scale = self.token_codes(inputs)
        out = self.product(codes.float(), self.weight(inputs)) * scale
        return (out if inputs.bias is None else out + inputs.bias.float()).to(inputs.x.dtype)


class ReciprocalScale(Product):
    """Activations are multiplied by the scale's reciprocal: some quotients fall to a tie's other side."""

    def token_codes(self, inputs: LinearInputs) -> tuple[Tensor, Tensor]:
        grid, of_token = GRIDS[_kind(inputs)]
        wide = inputs.x.float()
        largest = wide.abs().amax(-1, keepdim=True) if of_token else wide.abs().amax().expand(1, 1)
        scale = largest * (1.0 / grid.largest)
        steps = wide * torch.where(scale > 0, 1.0 / scale, 0.0)
        return (steps.round() if grid.whole else steps).clamp(-grid.largest, grid.largest).to(grid.dtype), scale


class PartByPart(Product):
    """Sixty-four products at a time, added up in float32."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        out = torch.zeros(len(x), len(weight))
        for a, b in zip(x.split(TILE, 1), weight.split(TILE, 1), strict=True):
            out += a @ b.T
        return out


HONEST = (Product, RoundedWeights, RoundedSteps, ScaledAfterwards, ReciprocalScale, PartByPart)


def has_codes_of_x(case: Any) -> bool:
    return bool(case.stored_as.activations != "same")


def long(case: Any) -> bool:
    return bool(case.k > 500)


def half(case: Any) -> bool:
    return bool(case.dtype != "float32")


@WEIGHTS.broken(probes.is_grouped)
class ScaleOfTheNextGroup(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes, {name: step.roll(-1, 1) for name, step in steps.items()}


@WEIGHTS.broken(probes.is_grouped)
class LastGroupHasTheScaleBefore(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        several = {name: step for name, step in steps.items() if step.shape[1] > 1}
        return codes, steps | {name: torch.cat([x[:, :-1], x[:, -2:-1]], 1) for name, x in several.items()}


@WEIGHTS.broken(probes.is_grouped)
class GroupsOneColumnLate(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return probes.groups_one_column_late(codes, steps)


@WEIGHTS.broken(probes.is_grouped)
class GroupsOneColumnEarly(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        spread = {name: step.expand(codes.shape).flatten(1).roll(-1, 1) for name, step in steps.items()}
        return codes, {name: step.unflatten(1, codes.shape[1:]) for name, step in spread.items()}


@WEIGHTS.broken(probes.has_row_scales)
class ScaleOfTheNextRow(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes, {name: step.roll(-1, 0) for name, step in steps.items()}


@WEIGHTS.broken(probes.has_row_scales)
class ScalesOfTheFirstRow(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes, {name: step[:1].expand_as(step) for name, step in steps.items()}


@WEIGHTS.broken(probes.is_nibbles)
class NibblesSwapped(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return probes.nibbles_swapped(codes, steps)


@WEIGHTS.broken(probes.is_nibbles)
class NeighboursForHalves(Product):
    """Two codes of a byte are taken for neighbouring columns."""

    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        halves: Tensor = codes.flatten(1).unflatten(1, (-1, 2, 16))
        return halves.mT.flatten(1).unflatten(1, codes.shape[1:]), steps


@WEIGHTS.broken(probes.is_nibbles)
class TopBitLost(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes & 7, steps


@WEIGHTS.broken(probes.has_signed_codes)
class SignLost(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return probes.sign_lost(codes, steps)


@WEIGHTS.broken(lambda case: case.stored_as.name.startswith("int4") and not probes.has_minimum(case))
class ZeroPointForgotten(Product):
    """Codes are taken as they are stored, from 0 on."""

    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return (codes.int() + 8), steps


@WEIGHTS.broken(lambda case: case.stored_as.name.startswith("int4") and not probes.has_minimum(case))
class ZeroPointOffByOne(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes.int() - 1, steps


@WEIGHTS.broken(probes.has_minimum)
class MinimumForgotten(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return probes.minimum_forgotten(codes, steps)


@WEIGHTS.broken(probes.has_minimum)
class MinimumOfTheGroupBefore(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return codes, steps | {MINIMUM: steps[MINIMUM].roll(1, 1)}


@WEIGHTS.broken(probes.has_indices)
class IndicesShifted(Product):
    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        return probes.indices_shifted(codes, steps)


@WEIGHTS.broken(probes.has_indices)
class IndicesSwapped(Product):
    """The two numbers of each four have each other's places."""

    def steps(self, codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
        kept = steps["kept"]
        swapped: Tensor = codes[kept].view(-1, 2).flip(1).flatten()
        return torch.zeros_like(codes).masked_scatter(kept, swapped), steps


@WEIGHTS.broken(lambda case: case.k > TILE)
class TailOfProductsDropped(Product):
    """The last tile of columns, whole or not."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        kept = (x.shape[1] - 1) // TILE * TILE
        return x[:, :kept] @ weight[:, :kept].T


@WEIGHTS.broken(probes.has_scales_of_tokens)
class ScaleOfTheTokenBefore(Product):
    def token_codes(self, inputs: LinearInputs) -> tuple[Tensor, Tensor]:
        codes, scale = super().token_codes(inputs)
        return codes, scale.roll(1, 0)


@WEIGHTS.broken(lambda case: has_codes_of_x(case) and (case.dtype == "float32" or long(case)))
class ActivationsAsTheyAre(Product):
    """W8A16 where W8A8 was asked for."""

    def activations(self, inputs: LinearInputs) -> Tensor:
        return inputs.x.float()


@WEIGHTS.broken(lambda case: has_codes_of_x(case) and case.dtype == "float32")
class CodesOfXCutOff(Product):
    """Towards zero instead of to the nearest."""

    def token_codes(self, inputs: LinearInputs) -> tuple[Tensor, Tensor]:
        codes, scale = super().token_codes(inputs)
        if codes.dtype == torch.int8:
            return (inputs.x.float() / scale).trunc().to(torch.int8), scale
        exact = inputs.x.float() / scale
        bits = codes.view(torch.uint8)
        too_far = codes.float().abs() > exact.abs()
        return (bits - too_far.to(torch.uint8)).view(codes.dtype), scale


@WEIGHTS.broken(lambda case: case.dtype == "float32" and long(case))
class MultipliedInBfloat16(Product):
    """Numbers of weights and of x rounded to eight bits."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return x.bfloat16().float() @ weight.bfloat16().float().T


@WEIGHTS.broken(long)
class FourBfloat16Parts(Product):
    """As a split over k whose partial sums are stored in bfloat16."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        parts = zip(x.tensor_split(4, 1), weight.tensor_split(4, 1), strict=True)
        return torch.stack([(a @ b.T).bfloat16().float() for a, b in parts]).sum(0)


@WEIGHTS.broken(lambda case: case.dtype == "bfloat16" and long(case))
class SumsRoundedByTile(Product):
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        out = torch.zeros(len(x), len(weight), dtype=torch.bfloat16)
        for a, b in zip(x.split(16, 1), weight.split(16, 1), strict=True):
            out += (a @ b.T).bfloat16()
        return out.float()


@WEIGHTS.broken(lambda case: long(case) and case.dtype == "float32")
class SummedInFloat16(Product):
    """Sixteen products at a time are added in float16."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        out = torch.zeros(len(x), len(weight))
        for a, b in zip(x.split(16, 1), weight.split(16, 1), strict=True):
            out = (out + a @ b.T).half().float()
        return out


IDS = (
    "M3-N33-K640-fp32-bias-f_int8",
    "N40-K1000-bf16-outliers-f_int8",
    "M5-N33-K577-fp32-bias-f_int8_dynamic",
    "M7-N40-K1000-bf16-f_int8_dynamic",
    "M2-N33-K640-fp16-outliers-f_int8_dynamic",
    "M3-N33-K577-fp32-f_fp8_e4m3",
    "M3-N33-K577-bf16-bias-f_fp8_e4m3",
    "M4-N33-K640-fp32-f_fp8_e4m3_row",
    "M4-N33-K1000-bf16-outliers-f_fp8_e4m3_row",
    "M3-N33-K640-fp32-bias-f_int4_g32",
    "N64-K1024-bf16-f_int4_g64",
    "M2-N33-K640-fp16-f_int4_g128",
    "M3-N33-K576-bf16-outliers-f_int4_g32_asym",
    "M3-N33-K640-fp32-f_int4_g64_asym",
    "N40-bf16-f_int4_g128_asym",
    "M3-N33-K640-fp32-f_nf4",
    "N40-K1024-bf16-f_nf4",
    "M2-N33-K576-bf16-bias-f_mxfp4",
    "M3-N33-K577-bf16-f_int1_58",
    "M2-N33-K640-fp32-f_sparse_2_4",
    "M3-N33-K1000-bf16-f_sparse_2_4",
)
