"""A linear layer by whichever of two kernels is faster for its number of rows."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear import _cpu_products


@implements("linear", name="by_rows", needs=Needs(device="cpu"))
class ByRows:
    """Our kernel in C for few rows, as in decoding, oneDNN on packed weights for more, as in a prompt."""

    def __init__(self) -> None:
        self._weights = _cpu_products.PackedWeights()
        self._chooser = _cpu_products.native_chooser()

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> _cpu_products.Product:
        few = _is_few(case)
        return _cpu_products.native(case, inputs, self._chooser) if few else self._weights.product(case, inputs)

    def run(self, inputs: LinearInputs, product: _cpu_products.Product) -> Tensor:
        return product(inputs.x)

    def configuration(self, case: LinearCase) -> str:
        return "native" if _is_few(case) else "packed"


def _is_few(case: LinearCase) -> bool:
    return case.m <= _cpu_products.NATIVE_ROWS[case.dtype]
