"""A linear layer by oneDNN on packed weights."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear import _cpu_products


@implements("linear", name="packed", needs=Needs(device="cpu"))
class Packed:
    """oneDNN, as torch.compile uses it: the weight is copied once into the order that its kernels read."""

    def __init__(self) -> None:
        self._weights = _cpu_products.PackedWeights()

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> _cpu_products.Product:
        return self._weights.product(case, inputs)

    def run(self, inputs: LinearInputs, product: _cpu_products.Product) -> Tensor:
        return product(inputs.x)
