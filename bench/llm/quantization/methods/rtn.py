"""Round to nearest: each number by itself."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench.llm.quantization.choosing import Chosen, Method
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.weight import stored


def choose(weight: Tensor, format: WeightFormat, activations: Tensor | None) -> Chosen:
    codec = format.codec
    grouped = weight.unflatten(1, (-1, codec.group(weight.shape[1])))
    steps = codec.fit(grouped)
    return Chosen(stored(weight, format, codec.codes(grouped, steps), steps))


METHOD = Method("rtn", "round to nearest", choose)
