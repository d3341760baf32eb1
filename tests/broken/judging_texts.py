"""Broken scorers of texts: places, windows, what is normalised, and what of weights and cache is passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from attnlab.bench.llm.caches.coding import DATA
from attnlab.bench.llm.quality.scoring import CachedReading, hidden_states, reading_of, right_logs
from attnlab.bench.ops.generate.contract import weights_of
from attnlab.bench.ops.perplexity.case import PerplexityCase, PerplexityInputs
from attnlab.bench.ops.perplexity.probes import neighbours_steps

from .collection import Collection

PERPLEXITY_DEFECTS = Collection("perplexity")
broken = PERPLEXITY_DEFECTS.broken


class Scores:
    """The right logarithms, by the plain decoder: a defect changes one step of it."""

    serves: ClassVar = {"weights": True}

    def prepare(self, case: PerplexityCase, inputs: PerplexityInputs) -> PerplexityCase:
        return case

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        return self.logs(inputs, case).float()

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        with_ = {"reading": reading_of(case.format), "dtype": case.torch_dtype} | changed
        return right_logs(inputs.weights, inputs.ids, inputs.scored, **with_)


def always(case: PerplexityCase) -> bool:
    return True


def stored_cache(case: PerplexityCase) -> bool:
    return case.cache != "same"


def coarse_cache(case: PerplexityCase) -> bool:
    """One whose loss is more than what the dtype rounds anyway."""
    return stored_cache(case) and case.dtype == "float32"


@broken(always)
class OneLate(Scores):
    """Each token gets what the token after it should have: predictions are read one place too far."""

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        return self.logs(inputs, case).roll(-1, 1).float()


@broken(always)
class FirstCounted(Scores):
    """The first place holds the token that nothing comes before, as certain, and all others are shifted."""

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        logs = self.logs(inputs, case)
        return torch.cat([torch.zeros_like(logs[:, :1]), logs[:, :-1]], 1).float()


@broken(lambda case: case.batch > 1)
class OtherWindow(Scores):
    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        return self.logs(inputs, case).roll(1, 0).float()


@broken(lambda case: case.batch > 1)
class WindowsSeeEachOther(Scores):
    """The windows of a call are read as one text."""

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        whole = replace(inputs, ids=inputs.ids.reshape(1, -1), scored=inputs.ids.numel() - 1)
        logs = torch.nn.functional.pad(self.logs(whole, case), (1, 0)).view(len(inputs.ids), -1)
        return logs[:, -inputs.scored :].float()


@broken(always)
class BeginsLate(Scores):
    """The first token of each window is not read."""

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        scored = min(inputs.scored, inputs.ids.shape[1] - 2)
        short = replace(inputs, ids=inputs.ids[:, 1:], scored=scored)
        return torch.nn.functional.pad(self.logs(short, case), (inputs.scored - scored, 0), value=-5.0).float()


@broken(always)
class NotNormalised(Scores):
    """Logits instead of logarithms of probabilities."""

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        from attnlab.bench.llm.models.reference import head_logits

        hidden = hidden_states(inputs.weights, inputs.ids, case.torch_dtype, reading=reading_of(case.format))
        logits = head_logits(inputs.weights, hidden, case.torch_dtype)[:, :-1]
        return logits.gather(-1, inputs.ids[:, 1:, None])[:, -inputs.scored :, 0].float()


@broken(always)
class OfTwo(Scores):
    """Logarithms to the base 2."""

    def run(self, inputs: PerplexityInputs, case: PerplexityCase) -> Tensor:
        return (self.logs(inputs, case) / torch.tensor(2.0).log()).float()


@broken(lambda case: case.dtype == "float32")
class Narrow(Scores):
    """Passes in bfloat16 where float32 is asked for."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        return super().logs(inputs, case, dtype=torch.bfloat16)


@broken(coarse_cache)
class CachePassedOver(Scores):
    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        return super().logs(inputs, case, reading=None)


@broken(stored_cache)
class NeighboursSteps(Scores):
    """A cache that is read at the scale of the token before."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        return super().logs(inputs, case, reading=CachedReading(case.format, neighbours_steps))


@broken(stored_cache)
class NextToken(Scores):
    """A cache that is read a token too far."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        def shift(cache: Any) -> None:
            for _, side in cache.sides:
                codes = side.planes[DATA]
                codes.copy_(codes.roll(-1, 1))

        return super().logs(inputs, case, reading=CachedReading(case.format, shift))


@broken(lambda case: case.weights != "same" and case.dtype == "float32")
class WeightsPassedOver(Scores):
    """The model with nothing quantised."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        plain = weights_of(case.model, case.torch_dtype, inputs.ids.device)
        return super().logs(replace(inputs, weights=plain), case)


@broken(lambda case: case.weights != "same")
class NeighboursScales(Scores):
    """Weights that are read at the scale of the row before."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        def spoilt(stored: Any) -> Any:
            planes = {n: plane if n == "codes" else plane.roll(1, 0) for n, plane in stored.planes.items()}
            return replace(stored, planes=planes)

        layers = tuple(
            replace(layer, quantized={name: spoilt(w) for name, w in layer.quantized.items()})
            for layer in inputs.weights.layers
        )
        return super().logs(replace(inputs, weights=replace(inputs.weights, layers=layers)), case)


@broken(lambda case: case.weights != "same" and case.dtype == "float32")
class OneLayerPassedOver(Scores):
    """The first layer is not quantised."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        plain = weights_of(case.model, case.torch_dtype, inputs.ids.device)
        layers = (plain.layers[0], *inputs.weights.layers[1:])
        return super().logs(replace(inputs, weights=replace(inputs.weights, layers=layers)), case)


@broken(lambda case: "+" in case.weights and case.dtype == "float32")
class HeadPassedOver(Scores):
    """Nothing but the head is as it was."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        head = weights_of(case.model, case.torch_dtype, inputs.ids.device).head
        return super().logs(replace(inputs, weights=replace(inputs.weights, head=head, quantized_head=None)), case)


@broken(lambda case: case.codes_activations and case.dtype == "float32")
class ActivationsPassedOver(Scores):
    """Weights in codes meet activations that have none."""

    def logs(self, inputs: PerplexityInputs, case: PerplexityCase, **changed: Any) -> Tensor:
        layers = tuple(replace(layer, activations={}) for layer in inputs.weights.layers)
        return super().logs(replace(inputs, weights=replace(inputs.weights, layers=layers)), case)


HONEST = (Scores,)
IDS = (
    "toy-random-W40-n2-B2-fp32",
    "toy-random-W48-S16-n2-B2-bf16",
    "toy-random-W48-n2-B2-int8_token-fp32",
    "toy-random-W48-n2-fp8_e4m3_token-bf16",
    "toy-random-W40-n2-int8_channel-fp32-w_int4_g32",
    "toy-random-W40-n2-B2-bf16-w_int8",
    "toy-random-W40-n2-fp32-w_int8_dynamic+int8",
    "toy-random-W40-n2-bf16-w_int8_dynamic",
)
