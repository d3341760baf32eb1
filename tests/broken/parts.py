"""Honest parts of a decoder, and what breaks when a step is left out or an edge is missed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.embedding import EmbeddingInputs
from attnlab.bench.ops.gelu import GeluInputs
from attnlab.bench.ops.layernorm import LayerNormInputs
from attnlab.bench.ops.linear.inputs import LinearInputs
from attnlab.bench.ops.rmsnorm import RmsNormInputs
from attnlab.bench.ops.rope import RopeInputs
from attnlab.bench.ops.swiglu import SwigluInputs

from .collection import Collection

RMSNORM, LAYERNORM = Collection("rmsnorm"), Collection("layernorm")
SWIGLU, GELU = Collection("swiglu"), Collection("gelu")
EMBEDDING, ROPE, LINEAR = Collection("embedding"), Collection("rope"), Collection("linear")
TILE = 64  # columns


def always(case: Any) -> bool:
    return True


def wide(case: Any) -> bool:
    """More than a tile, and not whole tiles."""
    return case.width > TILE and bool(case.width % TILE)


def half_precision(case: Any) -> bool:
    return case.dtype != "float32"


class RmsNorm:
    """Every step a seam that a broken one replaces."""

    def run(self, inputs: RmsNormInputs, state: Any = None) -> Tensor:
        x = inputs.x.float()
        factor = (self.mean_square(x) + self.eps(inputs)).rsqrt()
        return self.scaled(x * factor, inputs.weight).to(inputs.x.dtype)

    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().mean(-1, keepdim=True)

    def eps(self, inputs: RmsNormInputs) -> float:
        return inputs.eps

    def scaled(self, x: Tensor, weight: Tensor) -> Tensor:
        return x * weight.float()


class RoundedBeforeWeight(RmsNorm):
    """As Llama's own code has it: rounded once more, before the weight."""

    def run(self, inputs: RmsNormInputs, state: Any = None) -> Tensor:
        x = inputs.x.float()
        factor = (self.mean_square(x) + self.eps(inputs)).rsqrt()
        return (x * factor).to(inputs.x.dtype) * inputs.weight


@RMSNORM.broken(always)
class NoEps(RmsNorm):
    def eps(self, inputs: RmsNormInputs) -> float:
        return 0.0


@RMSNORM.broken(always)
class NoWeight(RmsNorm):
    def scaled(self, x: Tensor, weight: Tensor) -> Tensor:
        return x


@RMSNORM.broken(always)
class WeightPlusOne(RmsNorm):
    """As models have it whose weights are stored about zero."""

    def scaled(self, x: Tensor, weight: Tensor) -> Tensor:
        return x * (1.0 + weight.float())


@RMSNORM.broken(lambda case: case.width > 1)
class SumForMean(RmsNorm):
    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().sum(-1, keepdim=True)


@RMSNORM.broken(wide)
class LastTileUnsummed(RmsNorm):
    def mean_square(self, x: Tensor) -> Tensor:
        return x[:, : x.shape[1] // TILE * TILE].square().sum(-1, keepdim=True) / x.shape[1]


@RMSNORM.broken(wide)
class DividedByThePadded(RmsNorm):
    """The mean over the tiles' columns, not the row's."""

    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().sum(-1, keepdim=True) / (-(-x.shape[1] // TILE) * TILE)


@RMSNORM.broken(lambda case: case.dtype == "bfloat16" and case.width > 500)
class SummedInHalf(RmsNorm):
    def mean_square(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), 1, dtype=torch.bfloat16)
        for part in x.square().split(8, dim=-1):
            total += part.sum(-1, keepdim=True).bfloat16()
        return total.float() / x.shape[1]


class LayerNorm:
    """Every step a seam."""

    def run(self, inputs: LayerNormInputs, state: Any = None) -> Tensor:
        x = inputs.x.float()
        mean = x.mean(-1, keepdim=True)
        out = (x - mean) * (self.variance(x, mean) + self.eps(inputs)).rsqrt() * inputs.weight.float()
        return (out + self.bias(inputs)).to(inputs.x.dtype)

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return (x - mean).square().mean(-1, keepdim=True)

    def eps(self, inputs: LayerNormInputs) -> float:
        return inputs.eps

    def bias(self, inputs: LayerNormInputs) -> Tensor:
        return inputs.bias.float()


@LAYERNORM.broken(lambda case: case.width > 1)
class NoEpsBesideVariance(LayerNorm):
    def eps(self, inputs: LayerNormInputs) -> float:
        return 0.0


@LAYERNORM.broken(always)
class NoBias(LayerNorm):
    def bias(self, inputs: LayerNormInputs) -> Tensor:
        return torch.zeros(())


@LAYERNORM.broken(lambda case: 1 < case.width < 100)
class VarianceOverOneLess(LayerNorm):
    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return x.var(-1, keepdim=True)


@LAYERNORM.broken(lambda case: case.dtype == "float32" and case.width > 1)
class SquaresLessSquareOfMean(LayerNorm):
    """Cancels where the mean is large beside the deviation."""

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        return (x.square().mean(-1, keepdim=True) - mean.square()).clamp_min(0.0)


@LAYERNORM.broken(wide)
class PaddingCounted(LayerNorm):
    """Columns beyond the row hold minus the mean when squared."""

    def variance(self, x: Tensor, mean: Tensor) -> Tensor:
        padding = -x.shape[1] % TILE
        return ((x - mean).square().sum(-1, keepdim=True) + padding * mean.square()) / x.shape[1]


@LAYERNORM.broken(lambda case: case.dtype != "float32" and case.width > 500)
class MeanOfHalfParts(LayerNorm):
    """The mean is summed in eight parts, each rounded to the dtype."""

    def run(self, inputs: LayerNormInputs, state: Any = None) -> Tensor:
        x = inputs.x.float()
        parts = [part.sum(-1, keepdim=True).to(inputs.x.dtype).float() for part in x.tensor_split(8, -1)]
        mean = torch.stack(parts).sum(0) / x.shape[1]
        out = (x - mean) * (self.variance(x, mean) + self.eps(inputs)).rsqrt() * inputs.weight.float()
        return (out + self.bias(inputs)).to(inputs.x.dtype)


class Swiglu:
    """Every step a seam."""

    def run(self, inputs: SwigluInputs, state: Any = None) -> Tensor:
        gate, up = self.halves(inputs.x.float())
        return (self.silu(gate) * up).to(inputs.x.dtype)

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = x.chunk(2, dim=-1)
        return gate, up

    def silu(self, gate: Tensor) -> Tensor:
        return gate / (1.0 + (-gate).exp())


@SWIGLU.broken(always)
class UpGated(Swiglu):
    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        up, gate = x.chunk(2, dim=-1)
        return gate, up


@SWIGLU.broken(lambda case: case.width > 1)
class PairsForHalves(Swiglu):
    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, 0::2], x[:, 1::2]


@SWIGLU.broken(always)
class Sigmoid(Swiglu):
    def silu(self, gate: Tensor) -> Tensor:
        return gate.sigmoid()


@SWIGLU.broken(always)
class Overflows(Swiglu):
    def silu(self, gate: Tensor) -> Tensor:
        return gate * gate.exp() / (1.0 + gate.exp())


class Gelu:
    """Either form."""

    def run(self, inputs: GeluInputs, state: Any = None) -> Tensor:
        return torch.nn.functional.gelu(inputs.x.float(), approximate=self.form(inputs)).to(inputs.x.dtype)

    def form(self, inputs: GeluInputs) -> str:
        return inputs.approximate


@GELU.broken(lambda case: case.dtype == "float32")
class OtherForm(Gelu):
    def form(self, inputs: GeluInputs) -> str:
        return "none" if inputs.approximate == "tanh" else "tanh"


@GELU.broken(always)
class SigmoidForm(Gelu):
    """x times the sigmoid of 1.702 x: the coarser approximation."""

    def run(self, inputs: GeluInputs, state: Any = None) -> Tensor:
        x = inputs.x.float()
        return (x * (1.702 * x).sigmoid()).to(inputs.x.dtype)


@GELU.broken(lambda case: case.width > 1)
class LastColumnUnwritten(Gelu):
    def run(self, inputs: GeluInputs, state: Any = None) -> Tensor:
        out = torch.zeros_like(inputs.x)
        out[:, :-1] = super().run(inputs)[:, :-1]
        return out


class Embedding:
    """Rows by index."""

    def run(self, inputs: EmbeddingInputs, state: Any = None) -> Tensor:
        return inputs.table[self.ids(inputs)]

    def ids(self, inputs: EmbeddingInputs) -> Tensor:
        return inputs.ids


@EMBEDDING.broken(lambda case: case.vocabulary > 1)
class OneIdEarly(Embedding):
    def ids(self, inputs: EmbeddingInputs) -> Tensor:
        return (inputs.ids - 1) % len(inputs.table)


@EMBEDDING.broken(lambda case: case.vocabulary > 1)
class LastIdOutOfReach(Embedding):
    def ids(self, inputs: EmbeddingInputs) -> Tensor:
        return inputs.ids.clamp_max(len(inputs.table) - 2)


@EMBEDDING.broken(lambda case: case.vocabulary > 256)
class IdsInBytes(Embedding):
    def ids(self, inputs: EmbeddingInputs) -> Tensor:
        return inputs.ids % 256


class Rope:
    """Every step a seam."""

    def run(self, inputs: RopeInputs, state: Any = None) -> tuple[Tensor, Tensor]:
        at = self.positions(inputs)
        cos, sin = inputs.cos[at][:, :, None], self.sin(inputs)[at][:, :, None]
        return self.told(inputs.q, cos, sin, inputs.style), self.keys(inputs, cos, sin)

    def keys(self, inputs: RopeInputs, cos: Tensor, sin: Tensor) -> Tensor:
        return self.told(inputs.k, cos, sin, inputs.style)

    def positions(self, inputs: RopeInputs) -> Tensor:
        return inputs.positions

    def sin(self, inputs: RopeInputs) -> Tensor:
        return inputs.sin

    def told(self, x: Tensor, cos: Tensor, sin: Tensor, style: str) -> Tensor:
        wide = x.float()
        if style == "sinusoidal":
            return (wide + torch.stack([sin, cos], -1).flatten(-2)).to(x.dtype)
        if style == "half":
            a, b = wide.chunk(2, -1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)
        turned = torch.view_as_complex(wide.unflatten(-1, (-1, 2)).contiguous()) * torch.complex(cos, sin)
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)


@ROPE.broken(always)
class KeysUntold(Rope):
    def keys(self, inputs: RopeInputs, cos: Tensor, sin: Tensor) -> Tensor:
        return inputs.k.clone()


@ROPE.broken(lambda case: case.style != "sinusoidal")
class OtherPairs(Rope):
    def told(self, x: Tensor, cos: Tensor, sin: Tensor, style: str) -> Tensor:
        return super().told(x, cos, sin, "interleaved" if style == "half" else "half")


@ROPE.broken(lambda case: case.style != "sinusoidal")
class TurnedBack(Rope):
    def sin(self, inputs: RopeInputs) -> Tensor:
        return -inputs.sin


@ROPE.broken(lambda case: case.batch > 1)
class PositionsOfTheFirstSequence(Rope):
    def positions(self, inputs: RopeInputs) -> Tensor:
        return inputs.positions[:1].expand_as(inputs.positions)


@ROPE.broken(lambda case: case.q_len > 1)
class PositionsCounted(Rope):
    """From the first token's on, whatever the others say."""

    def positions(self, inputs: RopeInputs) -> Tensor:
        counted = inputs.positions[:, :1] + torch.arange(inputs.positions.shape[1])
        return counted % len(inputs.cos)


@ROPE.broken(always)
class LastPositionOutOfReach(Rope):
    def positions(self, inputs: RopeInputs) -> Tensor:
        return inputs.positions.clamp_max(len(inputs.cos) - 2)


@ROPE.broken(always)
class InPlace(Rope):
    """Right, but queries do not come back as they were."""

    def run(self, inputs: RopeInputs, state: Any = None) -> tuple[Tensor, Tensor]:
        q, k = super().run(inputs)
        inputs.q.copy_(q)
        return q, k


class Linear:
    """Every step a seam."""

    def run(self, inputs: LinearInputs, state: Any = None) -> Tensor:
        out = self.product(inputs.x.float(), inputs.weight.float())
        return (out + self.bias(inputs)).to(inputs.x.dtype)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.T

    def bias(self, inputs: LinearInputs) -> Tensor:
        return torch.zeros(()) if inputs.bias is None else inputs.bias.float()


@LINEAR.broken(lambda case: case.bias)
class BiasForgotten(Linear):
    def bias(self, inputs: LinearInputs) -> Tensor:
        return torch.zeros(())


@LINEAR.broken(lambda case: case.k > TILE and case.k % TILE)
class TailOfProductsDropped(Linear):
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        whole = x.shape[1] // TILE * TILE
        return x[:, :whole] @ weight[:, :whole].T


@LINEAR.broken(lambda case: case.dtype == "float32" and case.k > 500)
class ComputedInBfloat16(Linear):
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return (x.bfloat16() @ weight.bfloat16().T).float()


@LINEAR.broken(lambda case: case.dtype == "float32" and case.k > 500)
class MultipliedAsTensorFloat32(Linear):
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return _ten_bits(x) @ _ten_bits(weight).T


@LINEAR.broken(lambda case: case.dtype == "bfloat16" and case.k > 500)
class SumsRoundedByTile(Linear):
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        out = torch.zeros(len(x), len(weight), dtype=torch.bfloat16)
        for start in range(0, x.shape[1], 8):
            out += (x[:, start : start + 8] @ weight[:, start : start + 8].T).bfloat16()
        return out.float()


class NarrowParts(Linear):
    """Sums of parts of the products, each rounded to a narrow type, then added in float32."""

    parts, narrow, strided = 8, torch.bfloat16, False

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        place = torch.arange(x.shape[1])
        groups = [place[n :: self.parts] for n in range(self.parts)] if self.strided else place.tensor_split(self.parts)
        sums = [(x[:, some] @ weight[:, some].T).to(self.narrow).float() for some in groups]
        return torch.stack(sums).sum(0)


def long(case: Any) -> bool:
    return bool(case.k > 500)


@LINEAR.broken(long)
class EightBfloat16Parts(NarrowParts):
    """As a split over k whose partial sums are stored in bfloat16."""


@LINEAR.broken(long)
class TwoBfloat16Parts(NarrowParts):
    parts = 2


@LINEAR.broken(long)
class EveryFourthInBfloat16(NarrowParts):
    parts, strided = 4, True


@LINEAR.broken(long)
class EveryThirdInBfloat16(NarrowParts):
    parts, strided = 3, True


@LINEAR.broken(long)
class EverySeventhInBfloat16(NarrowParts):
    parts, strided = 7, True


@LINEAR.broken(lambda case: case.k >= 4000)
class EveryFifthInFloat16(NarrowParts):
    parts, narrow, strided = 5, torch.float16, True


@LINEAR.broken(lambda case: long(case) and case.dtype != "bfloat16")
class ThreeFloat16Parts(NarrowParts):
    parts, narrow = 3, torch.float16


@LINEAR.broken(lambda case: case.k >= 4000)
class EightFloat16Parts(NarrowParts):
    narrow = torch.float16


@LINEAR.broken(long)
class SummedInFloat16(Linear):
    """Sixteen products at a time are added in float16."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        out = torch.zeros(len(x), len(weight))
        for a, b in zip(x.split(16, 1), weight.split(16, 1), strict=True):
            out = (out + a @ b.T).half().float()
        return out


class OneAfterAnother(Linear):
    """Products are added one after another in float32: the worst order that is honest."""

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        out = torch.zeros(len(x), len(weight))
        for column in range(x.shape[1]):
            out += x[:, column, None] * weight[:, column]
        return out


class CutOff(Linear):
    """As tensor cores do of half precision: sixteen products at a time; a float32 sum is cut off, not rounded."""

    def run(self, inputs: LinearInputs, state: Any = None) -> Tensor:
        self._half = inputs.x.dtype is not torch.float32
        return super().run(inputs)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self._half:
            return super().product(x, weight)
        out = torch.zeros(len(x), len(weight))
        for a, b in zip(x.split(16, 1), weight.split(16, 1), strict=True):
            exact = out.double() + a.double() @ b.double().T
            rounded = exact.float()
            too_far = rounded.double().abs() > exact.abs()
            out = (rounded.view(torch.int32) - too_far.int()).view(torch.float32)
        return out


def _ten_bits(x: Tensor) -> Tensor:
    """float32 with the mantissa of TF32."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


HONEST: dict[str, tuple[type, ...]] = {
    "rmsnorm": (RmsNorm, RoundedBeforeWeight),
    "layernorm": (LayerNorm,),
    "swiglu": (Swiglu,),
    "gelu": (Gelu,),
    "embedding": (Embedding,),
    "rope": (Rope,),
    "linear": (Linear, OneAfterAnother, CutOff),
}
DEFECTS = {one.operator: one for one in (RMSNORM, LAYERNORM, SWIGLU, GELU, EMBEDDING, ROPE, LINEAR)}
IDS: dict[str, tuple[str, ...]] = {
    "rmsnorm": ("M1-N80-fp32", "M7-N577-bf16", "M20-N100-fp16-outliers", "M3-N4099-bf16"),
    "layernorm": ("M1-N80-fp32", "M7-N577-bf16", "M20-N99-fp16-outliers", "M3-N1025-fp32"),
    "swiglu": ("M1-N80-fp32", "M7-N577-bf16", "M20-N100-fp16-outliers"),
    "gelu": ("M1-N80-fp32", "M7-N577-bf16-tanh", "M20-N100-fp16-outliers", "M3-N99-fp32-tanh"),
    "embedding": ("M1-N80-V300-fp32", "M7-N577-V2-bf16", "M20-N100-V1000-fp16-outliers"),
    "rope": (
        "Hq1-Sq1-D8-P50-fp32",
        "B3-Hq4-Hkv2-Sq5-D80-P100-bf16",
        "B2-Hq3-Hkv1-Sq17-D64-P40-fp16-interleaved",
        "B2-Hq2-Sq3-D16-P9-fp32-sinusoidal",
    ),
    "linear": (
        "N33-K577-fp32-bias",
        "M7-N65-K1000-bf16",
        "M3-N33-K100-fp16-bias-outliers",
        "M70-N9-K700-fp32",
        "N64-bf16",
        "M2-N40-K9000-fp16",
    ),
}
