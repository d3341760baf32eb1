"""What one layer alone costs in quality where its weights, or its cache, are stored as codes, layer by layer.

What comes before a changed layer is the same as in the model with nothing quantised, and is read from one pass of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.llm.caches import Format
from attnlab.bench.llm.models.reference import Layer, Reading, checked_ids, decode, embedded
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights
from attnlab.bench.llm.quality.divergence import Divergences, divergences
from attnlab.bench.llm.quality.scoring import Scored, reading_of, scores, scores_to_keep

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Trace:
    """One pass of a model in float32 over windows: ids [n, W], and what each layer is given, and the last one gives.

    weights: with nothing quantised. states: layers + 1 tensors [n, W, H]; scored: tokens of each window that count;
    base: their distributions, None where these are too large to be kept.
    """

    weights: ModelWeights
    ids: Tensor
    scored: int
    states: tuple[Tensor, ...]
    base: tuple[Scored, ...] | None = None

    @classmethod
    def of(cls, weights: ModelWeights, ids: Tensor, scored: int) -> Trace:
        """Raises UsageError for ids that the model does not know."""
        ids = checked_ids(weights.config, ids.to(weights.device))
        states = [embedded(weights, ids, torch.float32)]
        for index, stored in enumerate(weights.layers):
            states.append(_through(weights, index, stored, states[-1], None))
        trace = cls(weights, ids, scored, tuple(states))
        return replace(trace, base=scores_to_keep(weights, states[-1], ids, scored))

    def of_base(self) -> Iterable[Scored]:
        """The scored tokens by the model itself."""
        return scores(self.weights, self.states[-1], self.ids, self.scored) if self.base is None else self.base

    def changed(self, index: int, weights: LayerWeights | None = None, cache: Format | None = None) -> Divergences:
        """How far predictions are off where one layer has other weights, or a cache in a format, and no other has."""
        reading = None if cache is None else reading_of(cache)
        stored = self.weights.layers[index] if weights is None else weights
        hidden = _through(self.weights, index, stored, self.states[index], reading)
        for after in range(index + 1, len(self.weights.layers)):
            hidden = _through(self.weights, after, self.weights.layers[after], hidden, None)
        return divergences(self.of_base(), scores(self.weights, hidden, self.ids, self.scored), len(self.ids))


@torch.no_grad()
def _through(model: ModelWeights, index: int, stored: LayerWeights, hidden: Tensor, reading: Reading | None) -> Tensor:
    """What a layer gives of hidden [n, W, H], each window by itself."""
    layer = Layer(stored.to(model.device, torch.float32), model.config, index)
    return torch.cat([decode(layer, row, None, reading=reading)[0] for row in hidden.split(1)])


@dataclass(frozen=True)
class LayerCost:
    """One layer in one format: the mean KL divergence, in nats, where it alone is stored so, and the bytes it takes."""

    layer: int
    format: str
    kl: float
    nbytes: int


def weight_costs(
    trace: Trace, quantised: Sequence[tuple[str, ModelWeights]], bytes_of: Callable[[int, str], int], tell: Tell
) -> Iterator[LayerCost]:
    """Of each layer in each format; quantised: the model in each format throughout. bytes_of(layer, format)."""
    for format, model in quantised:
        for index, layer in enumerate(model.layers):
            kl = trace.changed(index, weights=layer).kl_mean if layer.quantized else 0.0
            tell(f"weights of layer {index} in {format}: KL {kl:.2e} nat")
            yield LayerCost(index, format, kl, bytes_of(index, format))


def cache_costs(
    trace: Trace, formats: Sequence[Format], bytes_of: Callable[[str], int], tell: Tell
) -> Iterator[LayerCost]:
    """Of each layer's cache in each format; bytes_of(format): of a token in one layer."""
    for format in formats:
        for index in range(len(trace.weights.layers)):
            kl = trace.changed(index, cache=format).kl_mean
            tell(f"cache of layer {index} in {format.name}: KL {kl:.2e} nat")
            yield LayerCost(index, format.name, kl, bytes_of(format.name))
