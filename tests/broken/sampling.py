"""Honest samplers, and what breaks when a step of truncating or drawing is done wrongly."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import SamplingCase, SamplingInputs
from attnlab.bench.llm.sampling_math import draw
from attnlab.bench.store.records import Outcome

from .collection import Collection

SAMPLING_DEFECTS = Collection("sampling")
broken = SAMPLING_DEFECTS.broken


class Sampler:
    """Each step as it is defined, in float32, every one a seam."""

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        """Tokens [B, N] for logits [B, V] and uniforms [B, N]."""
        params = inputs.params
        x = self.penalised(inputs.logits.float(), params.repetition_penalty, inputs.seen)
        if params.greedy:
            return self.largest(x).expand(-1, inputs.uniforms.shape[1]).contiguous()
        scaled = self.scaled(x, params.temperature)
        if params.top_k is not None:
            scaled = scaled.masked_fill(~self.by_rank(scaled, min(params.top_k, x.shape[-1])), -math.inf)
        if params.top_p < 1:
            scaled = scaled.masked_fill(~self.by_mass(scaled, params.top_p), -math.inf)
        if params.min_p > 0:
            scaled = scaled.masked_fill(~self.by_size(scaled, params.min_p), -math.inf)
        return self.draw(scaled.softmax(-1), inputs.uniforms)

    def penalised(self, x: Tensor, penalty: float, seen: Tensor | None) -> Tensor:
        if seen is None:
            return x
        x = x.clone()
        for row, tokens in zip(x, seen, strict=True):
            known = tokens[tokens >= 0].unique()
            row[known] = self.moved(row[known], penalty)
        return x

    def moved(self, x: Tensor, penalty: float) -> Tensor:
        return torch.where(x > 0, x / penalty, x * penalty)

    def largest(self, x: Tensor) -> Tensor:
        return x.argmax(-1, keepdim=True)

    def scaled(self, x: Tensor, temperature: float) -> Tensor:
        return (x - x.amax(-1, keepdim=True)) / temperature

    def by_rank(self, x: Tensor, k: int) -> Tensor:
        return x >= x.topk(k).values[:, -1:]

    def by_mass(self, x: Tensor, p: float) -> Tensor:
        probabilities = x.softmax(-1)
        larger = (probabilities[:, None, :] * (x[:, None, :] > x[:, :, None])).sum(-1)
        return self.below(larger, probabilities, p)

    def below(self, larger: Tensor, own: Tensor, p: float) -> Tensor:
        return larger < p

    def by_size(self, x: Tensor, least: float) -> Tensor:
        probabilities = x.softmax(-1)
        return probabilities >= least * probabilities.amax(-1, keepdim=True)

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return draw(probabilities, uniforms)


class FromTheLastToken(Sampler):
    """The same distribution, by sums from the other end."""

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return probabilities.shape[-1] - 1 - draw(probabilities.flip(-1), uniforms)


class ByFallingProbability(Sampler):
    """The same distribution, by sums over sorted tokens."""

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        falling, order = probabilities.sort(-1, descending=True)
        return order.gather(-1, draw(falling, uniforms))


HONEST = (Sampler, FromTheLastToken, ByFallingProbability)


def chooses(case: SamplingCase) -> bool:
    return not case.params.greedy and case.inputs != "one_hot"


def ranks(case: SamplingCase) -> bool:
    return chooses(case) and case.top_k is not None and case.top_p == 1 and case.inputs in ("normal", "peaked")


@broken(chooses)
class AlwaysLargest(Sampler):
    """Greedy, whatever the temperature."""

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return probabilities.argmax(-1, keepdim=True).expand(-1, uniforms.shape[1]).contiguous()


@broken(lambda case: chooses(case) and case.draws > 100 and case.inputs not in ("flat", "minus_inf"))
class Biased(Sampler):
    """Probabilities that are a tenth too even: the temperature is 1.1 times too high."""

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return draw(probabilities ** (1 / 1.1), uniforms)


@broken(lambda case: True)
class OneTokenLate(Sampler):
    """The id after the one drawn."""

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        return (super().run(inputs) + 1) % inputs.logits.shape[1]


@broken(ranks)
class OneTooMany(Sampler):
    """k + 1 tokens."""

    def by_rank(self, x: Tensor, k: int) -> Tensor:
        return super().by_rank(x, k + 1)


@broken(ranks)
class OneTooFew(Sampler):
    """k - 1 tokens."""

    def by_rank(self, x: Tensor, k: int) -> Tensor:
        return super().by_rank(x, k - 1)


@broken(lambda case: chooses(case) and case.top_k is not None and case.inputs in ("ties", "flat"))
class TiesDropped(Sampler):
    """Exactly k tokens, where several are as large as the k-th."""

    def by_rank(self, x: Tensor, k: int) -> Tensor:
        return torch.zeros_like(x, dtype=torch.bool).scatter_(-1, x.topk(k).indices, True)


@broken(lambda case: chooses(case) and case.top_p < 1 and case.inputs == "peaked")
class CrossingTokenCutOff(Sampler):
    """The tokens that hold less than top_p with themselves, and the largest."""

    def below(self, larger: Tensor, own: Tensor, p: float) -> Tensor:
        return (larger + own <= p) | (larger == 0)


@broken(lambda case: chooses(case) and case.top_p < 1 and case.top_k is not None and case.inputs == "peaked")
class MassOfAllTokens(Sampler):
    """top_p of the whole vocabulary's mass, not of what top-k left."""

    def by_rank(self, x: Tensor, k: int) -> Tensor:
        self.share = x.softmax(-1).masked_fill(~super().by_rank(x, k), 0.0).sum(-1, keepdim=True)
        return super().by_rank(x, k)

    def below(self, larger: Tensor, own: Tensor, p: float) -> Tensor:
        return larger * self.share < p


@broken(lambda case: chooses(case) and case.min_p > 0 and case.inputs in ("peaked", "normal"))
class SizeOverOne(Sampler):
    """min_p as a probability, not as a share of the largest."""

    def by_size(self, x: Tensor, least: float) -> Tensor:
        probabilities = x.softmax(-1)
        return (probabilities >= least) | (probabilities == probabilities.amax(-1, keepdim=True))


@broken(lambda case: chooses(case) and case.temperature != 1 and case.inputs == "peaked")
class TemperatureTwice(Sampler):
    """Divided by the temperature once more."""

    def scaled(self, x: Tensor, temperature: float) -> Tensor:
        return super().scaled(x, temperature**2)


@broken(lambda case: case.params.penalises)
class AlwaysDivided(Sampler):
    """Negative logits are divided too, and so rise."""

    def moved(self, x: Tensor, penalty: float) -> Tensor:
        return x / penalty


@broken(lambda case: case.params.penalises)
class NoPenalty(Sampler):
    """What was seen is left as it is."""

    def moved(self, x: Tensor, penalty: float) -> Tensor:
        return x


@broken(lambda case: case.batch > 1 and case.inputs != "flat")
class FirstRowForAll(Sampler):
    """Every row is drawn from the first one's logits."""

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        same = inputs.logits[:1].expand_as(inputs.logits).clone()
        return super().run(SamplingInputs(same, inputs.uniforms, inputs.params, inputs.seen))


@broken(lambda case: chooses(case) and case.draws > 1)
class OneNumberForAll(Sampler):
    """The first uniform number of a row, for all its draws."""

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return super().draw(probabilities, uniforms[:, :1].expand_as(uniforms).contiguous())


def many_rows(case: SamplingCase) -> bool:
    """Rows whose draws are told apart: so many that agreement by chance is out of question."""
    return chooses(case) and case.batch > 2 and case.top_p == 1 and case.batch * case.draws >= 64


class OtherNumbers(Sampler):
    """Right tokens for numbers that are not the row's own."""

    def numbers(self, uniforms: Tensor) -> Tensor:
        raise NotImplementedError

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return super().draw(probabilities, self.numbers(uniforms).contiguous())


@broken(many_rows)
class NumbersOfTheFirstRow(OtherNumbers):
    """One row's numbers for all rows: each row by itself is fair."""

    def numbers(self, uniforms: Tensor) -> Tensor:
        return uniforms[:1].expand_as(uniforms)


@broken(many_rows)
class NumbersOfTheNextRow(OtherNumbers):
    def numbers(self, uniforms: Tensor) -> Tensor:
        return uniforms.roll(-1, 0)


@broken(lambda case: many_rows(case) and case.batch == 64)
class NumbersOfRowsInFours(OtherNumbers):
    """Each four rows share the numbers of the first of them, as a generator does whose offset counts blocks."""

    def numbers(self, uniforms: Tensor) -> Tensor:
        return uniforms[torch.arange(len(uniforms)) // 4 * 4]


@broken(many_rows)
class SeedIgnored(OtherNumbers):
    """The same numbers in every call, whatever is given."""

    def numbers(self, uniforms: Tensor) -> Tensor:
        return torch.rand(uniforms.shape, generator=torch.Generator().manual_seed(7))


@broken(lambda case: many_rows(case) and case.draws > 100)
class EachNumberTwice(OtherNumbers):
    """An offset that grows by half of what was drawn."""

    def numbers(self, uniforms: Tensor) -> Tensor:
        return uniforms[:, torch.arange(uniforms.shape[1]) // 2 * 2]


@broken(lambda case: many_rows(case) and case.draws > 100)
class SecondHalfAsTheFirst(OtherNumbers):
    def numbers(self, uniforms: Tensor) -> Tensor:
        half = uniforms.shape[1] // 2
        return uniforms[:, torch.arange(uniforms.shape[1]) % half]


@broken(lambda case: many_rows(case) and case.vocab > 1000 and case.draws > 100)
class EightBits(OtherNumbers):
    """Numbers with 256 values."""

    def numbers(self, uniforms: Tensor) -> Tensor:
        return (uniforms * 256).floor() / 256


@broken(lambda case: chooses(case) and case.top_p == 1)
class LeastNumberIsTheFirstToken(Sampler):
    """The first token at which the sum reaches the number: of 0, one that may have no probability."""

    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        sums = probabilities.double().cumsum(-1)
        return torch.searchsorted(sums, uniforms.double() * sums[:, -1:]).clamp_max(probabilities.shape[-1] - 1)


@broken(lambda case: case.params.penalises and case.batch > 1 and case.draws > 100)
class PenaltyOfTheNextRow(Sampler):
    def penalised(self, x: Tensor, penalty: float, seen: Tensor | None) -> Tensor:
        return super().penalised(x, penalty, None if seen is None else seen.roll(1, 0))


@broken(lambda case: many_rows(case) and case.draws > 100)
class LastRowUnwritten(Sampler):
    def draw(self, probabilities: Tensor, uniforms: Tensor) -> Tensor:
        return torch.cat([super().draw(probabilities, uniforms)[:-1], torch.zeros_like(uniforms[:1]).long()])


@broken(lambda case: chooses(case) and case.vocab % 64 > 0)
class TailOfTheVocabularyDropped(Sampler):
    """Whole tiles of 64 tokens only, where there is more than one."""

    def scaled(self, x: Tensor, temperature: float) -> Tensor:
        whole = max(1, x.shape[1] // 64 * 64)
        return torch.cat([super().scaled(x[:, :whole], temperature), torch.full_like(x[:, whole:], -math.inf)], 1)


@broken(lambda case: case.batch * case.draws >= 20_000 and chooses(case) and case.inputs in ("normal", "peaked"))
class TenPercentHotter(Sampler):
    def scaled(self, x: Tensor, temperature: float) -> Tensor:
        return super().scaled(x, 1.1 * temperature)


@broken(lambda case: case.batch * case.draws >= 20_000 and chooses(case) and case.inputs in ("normal", "peaked"))
class TenPercentColder(Sampler):
    def scaled(self, x: Tensor, temperature: float) -> Tensor:
        return super().scaled(x, 0.9 * temperature)


@broken(lambda case: True)
class BeyondTheVocabulary(Sampler):
    """The first id that is none."""

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        return torch.full(inputs.uniforms.shape, inputs.logits.shape[1])


@broken(lambda case: True, Outcome.WRONG_DTYPE)
class ShortNumbers(Sampler):
    """int32."""

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        return super().run(inputs).int()


@broken(lambda case: case.inputs != "flat")
class DrawnInPrepare(Sampler):
    """What was drawn from the logits that came first."""

    def prepare(self, case: SamplingCase, inputs: SamplingInputs) -> Tensor:
        return super().run(inputs)

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        return state.clone() if isinstance(state, Tensor) else super().run(inputs)
