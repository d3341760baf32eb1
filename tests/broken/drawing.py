"""Broken samplers of whole answers: other parameters than asked, and numbers that hang on each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import torch
from torch import Tensor

from attnlab.bench.llm.sampling_math import draw, truncated_probabilities
from attnlab.bench.llm.sampling_params import SamplingParams
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.batching import Batching
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.sampler import Sampler

from .collection import Collection

DRAWING_DEFECTS = Collection("generate")
DECODING = "attnlab.impls.generate._engine.decoding"
PLACES = (f"{DECODING}.plain.Sampler", f"{DECODING}._speculation.Sampler")


class Draws(EngineAdapter):
    """Ours, from other parameters."""

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Batching:
        params = self.params(case.decoding.params)
        return super().prepare(replace(case, decoding=replace(case.decoding, params=params)), inputs)

    def params(self, p: SamplingParams) -> SamplingParams:
        return p


def always(case: GenerateCase) -> bool:
    return True


@DRAWING_DEFECTS.broken(lambda case: case.decoding.params.top_p < 1)
class TopPIgnored(Draws):
    def params(self, p: SamplingParams) -> SamplingParams:
        return replace(p, top_p=1.0)


@DRAWING_DEFECTS.broken(always)
class TenPercentCold(Draws):
    def params(self, p: SamplingParams) -> SamplingParams:
        return replace(p, temperature=0.9 * p.temperature)


@DRAWING_DEFECTS.broken(always)
class TwentyPercentHot(Draws):
    def params(self, p: SamplingParams) -> SamplingParams:
        return replace(p, temperature=1.2 * p.temperature)


@DRAWING_DEFECTS.broken(always)
class NeverDraws(Draws):
    def params(self, p: SamplingParams) -> SamplingParams:
        return replace(p, temperature=0.0, top_k=None, top_p=1.0)


@DRAWING_DEFECTS.broken(lambda case: case.decoding.params.top_k is not None)
class OneMoreInTopK(Draws):
    def params(self, p: SamplingParams) -> SamplingParams:
        assert p.top_k is not None
        return replace(p, top_k=p.top_k + 1)


@DRAWING_DEFECTS.broken(lambda case: case.decoding.params.top_k is not None)
class OneLessInTopK(Draws):
    def params(self, p: SamplingParams) -> SamplingParams:
        assert p.top_k is not None
        return replace(p, top_k=p.top_k - 1)


class Numbers(EngineAdapter):
    """Ours, with a sampler that takes other numbers or another way."""

    def run(self, inputs: GenerateInputs, batching: Batching) -> GenerateOutputs:
        with mock.patch(PLACES[0], self.sampler()), mock.patch(PLACES[1], self.sampler()):
            return super().run(inputs, batching)

    def sampler(self) -> type[Sampler]:
        return Sampler


def taking(uniforms: Callable[[Sampler, int, int, int], Tensor]) -> type[Sampler]:
    class Other(Sampler):
        def uniforms(self, request: int, count: int, stream: int = 0) -> Tensor:
            return uniforms(self, request, count, stream)

    return Other


@DRAWING_DEFECTS.broken(always)
class OneNumberForAllPlaces(Numbers):
    def sampler(self) -> type[Sampler]:
        return taking(lambda s, request, count, stream: Sampler.uniforms(s, request, 1, stream).repeat(count))


@DRAWING_DEFECTS.broken(always)
class SecondPlaceAsTheFirst(Numbers):
    """A count that is raised only after the first step."""

    def sampler(self) -> type[Sampler]:
        def uniforms(s: Sampler, request: int, count: int, stream: int) -> Tensor:
            place = torch.arange(count)
            return Sampler.uniforms(s, request, count, stream)[place - (place == 1).long()]

        return taking(uniforms)


@DRAWING_DEFECTS.broken(always)
class NumbersOfRowPlusPlace(Numbers):
    """A row has those of the row before, a place later."""

    def sampler(self) -> type[Sampler]:
        return taking(lambda s, row, count, stream: Sampler.uniforms(s, 0, row + count, stream)[row:])


@DRAWING_DEFECTS.broken(always)
class OneNumberForAllRows(Numbers):
    def sampler(self) -> type[Sampler]:
        return taking(lambda s, request, count, stream: Sampler.uniforms(s, 0, count, stream))


@DRAWING_DEFECTS.broken(always)
class NumbersOfTheBatchAlone(Numbers):
    """Every batch has those of the first."""

    def sampler(self) -> type[Sampler]:
        return taking(lambda s, request, count, stream: Sampler.uniforms(s, request % 32, count, stream))


@DRAWING_DEFECTS.broken(always)
class TheSameInEveryCall(Numbers):
    def sampler(self) -> type[Sampler]:
        def uniforms(s: Sampler, request: int, count: int, stream: int) -> Tensor:
            return Sampler.uniforms(Sampler(s.params, Parts(), 0), request, count, stream)

        return taking(uniforms)


@DRAWING_DEFECTS.broken(always)
class EachRowInTheMirrorOfTheOneBefore(Numbers):
    def sampler(self) -> type[Sampler]:
        def uniforms(s: Sampler, request: int, count: int, stream: int) -> Tensor:
            drawn = Sampler.uniforms(s, request // 2, count, stream)
            return (1 - drawn).clamp_max(1 - 2.0**-24) if request % 2 else drawn

        return taking(uniforms)


@DRAWING_DEFECTS.broken(always)
class OneLuckForAllPlaces(Numbers):
    """Exponential numbers of each token, as some samplers draw, made once an answer."""

    def sampler(self) -> type[Sampler]:
        class Other(Sampler):
            def sample(self, logits: Tensor, uniforms: Tensor, seen: Tensor | None = None) -> Tensor:
                generator = torch.Generator().manual_seed(self._seed)
                luck = torch.empty(1024, logits.shape[1]).exponential_(generator=generator)[: len(logits)]
                return (truncated_probabilities(logits, self.params, seen) / luck).argmax(-1)

        return Other


@DRAWING_DEFECTS.broken(
    lambda case: case.decoding.params.top_p < 1 and case.decoding.params.temperature != 1 and case.dtype == "float32"
)
class TruncatesBeforeTheTemperature(Numbers):
    def sampler(self) -> type[Sampler]:
        class Other(Sampler):
            def sample(self, logits: Tensor, uniforms: Tensor, seen: Tensor | None = None) -> Tensor:
                kept = truncated_probabilities(logits, replace(self.params, temperature=1.0)) > 0
                cut = logits.float().masked_fill(~kept, -torch.inf)
                p = truncated_probabilities(cut, SamplingParams(temperature=self.params.temperature))
                return draw(p, uniforms[:, None])[:, 0]

        return Other
