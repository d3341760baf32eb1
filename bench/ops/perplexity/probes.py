"""Wrong passes over a text that the check of every case of `perplexity` must reject; they cost passes of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import Outputs, Probe
from attnlab.bench.llm.caches.coding import DATA
from attnlab.bench.llm.generation.stored import SAME, rounding
from attnlab.bench.llm.quality.scoring import reading_of, right_logs
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.ops.generate.contract import weights_of

if TYPE_CHECKING:
    from attnlab.bench.llm.caches import KVCache
    from attnlab.bench.ops.perplexity.case import PerplexityCase, PerplexityInputs

PROBED_TOKENS = 64
"""Of each window that a wrong result is worked out for; the others are right in it."""

Wrong = Callable[["PerplexityCase", "PerplexityInputs"], Tensor]


def costly(
    name: str, applies: Callable[[PerplexityCase], bool], wrong: Wrong
) -> Probe[PerplexityCase, PerplexityInputs]:
    """A probe of other passes over the beginning of what is scored."""

    def outputs(case: PerplexityCase, inputs: PerplexityInputs, windows: Tensor, expected: Outputs) -> Outputs:
        first = inputs.ids.shape[1] - inputs.scored
        some = min(PROBED_TOKENS, inputs.scored)
        short = replace(inputs, ids=inputs.ids[windows.to(inputs.ids.device), : first + some], scored=some)
        logs = expected[0].clone()
        logs[:, :some] = wrong(case, short).to(logs)
        return (logs,)

    return Probe(name, applies, outputs)


def _without_first(case: PerplexityCase, inputs: PerplexityInputs) -> Tensor:
    """Windows that begin a token too late: their first scored token is then not known, and taken as it is."""
    scored = inputs.scored - 1 if inputs.ids.shape[1] == inputs.scored + 1 else inputs.scored
    reading = reading_of(case.format)
    right = right_logs(inputs.weights, inputs.ids, inputs.scored, rounded=rounding(case.weights), reading=reading)
    if scored:
        ids = inputs.ids[:, 1:]
        right[:, -scored:] = right_logs(inputs.weights, ids, scored, rounded=rounding(case.weights), reading=reading)
    return right


def _cache_as_it_is(case: PerplexityCase, inputs: PerplexityInputs) -> Tensor:
    return right_logs(inputs.weights, inputs.ids, inputs.scored, rounded=rounding(case.weights))


def neighbours_steps(cache: KVCache) -> None:
    """Every token, or channel, or group of tokens, is decoded by the steps of the one before it."""
    for _, side in cache.sides:
        for spec in side.specs:
            if spec.name != DATA:
                plane = side.planes[spec.name]
                plane.copy_(plane.roll(1, 1) if spec.grows else plane.roll(1, -1))


def _neighbours_steps(case: PerplexityCase, inputs: PerplexityInputs) -> Tensor:
    reading = reading_of(case.format, neighbours_steps)
    return right_logs(inputs.weights, inputs.ids, inputs.scored, rounded=rounding(case.weights), reading=reading)


def _weights_as_they_are(case: PerplexityCase, inputs: PerplexityInputs) -> Tensor:
    plain = weights_of(case.model, torch.float32, inputs.weights.device)
    return right_logs(plain, inputs.ids, inputs.scored, reading=reading_of(case.format))


def _stored_layer(case: PerplexityCase) -> int | None:
    """The last layer with a projection in a format."""
    if case.recipe is None:
        return None
    return max((layer for (layer, _), name in case.recipe.formats(case.config).items() if name != SAME), default=None)


def _one_layer_as_it_is(case: PerplexityCase, inputs: PerplexityInputs) -> Tensor:
    """A layer as a whole: what a method folds into norms, up and value stays within it."""
    index = _stored_layer(case)
    plain = weights_of(case.model, torch.float32, inputs.weights.device)
    layers = tuple(plain.layers[n] if n == index else layer for n, layer in enumerate(inputs.weights.layers))
    weights = replace(inputs.weights, layers=layers)
    return right_logs(weights, inputs.ids, inputs.scored, reading=reading_of(case.format))


def _activations_as_they_are(case: PerplexityCase, inputs: PerplexityInputs) -> Tensor:
    """Those of the layers, where their weights have codes all the same."""
    weights = replace(
        inputs.weights, layers=tuple(layer.changed({"activations": {}}) for layer in inputs.weights.layers)
    )
    return right_logs(weights, inputs.ids, inputs.scored, reading=reading_of(case.format))


def codes_activations_of_layers(case: PerplexityCase) -> bool:
    """Of the packaged file they are told by the weights as they are, which it holds exactly."""
    formats = set() if case.recipe is None else {*case.recipe.formats(case.config).values()} - {SAME}
    return any(weight_format(name).activations != "same" for name in formats)


def has_neighbours(case: PerplexityCase) -> bool:
    """Whether tokens or channels of the cache have steps of their own: of a side with one there is no other."""
    specs = [
        s for c in (case.format.keys, case.format.values) for s in c.planes(case.config.head_dim, case.torch_dtype)
    ]
    return any(spec.name != DATA and spec.each != "side" for spec in specs)


COSTLY: tuple[Probe[PerplexityCase, PerplexityInputs], ...] = (
    costly("a window's first token lost", lambda case: case.window > 2, _without_first),
    costly("the cache as it is", lambda case: case.cache != SAME, _cache_as_it_is),
    costly("a neighbour's steps in the cache", has_neighbours, _neighbours_steps),
    costly("the weights as they are", lambda case: case.weights != SAME, _weights_as_they_are),
    costly("one layer's weights as they are", lambda case: _stored_layer(case) is not None, _one_layer_as_it_is),
    costly("activations as they are", codes_activations_of_layers, _activations_as_they_are),
)
