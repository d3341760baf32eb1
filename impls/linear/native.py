"""A linear layer for few rows by our own kernel in C."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import Configuration, LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear import _cpu_products
from attnlab.kernels.cpu.linear_rows import MOST_ROWS


@implements("linear", name="native", needs=Needs(device="cpu"), space=_cpu_products.NATIVE_SPACE)
class Native:
    """Our kernel in C, compiled for this processor: each row of the weight is read once, as it lies."""

    def __init__(self) -> None:
        self._chooser = _cpu_products.native_chooser()

    def supports(self, case: LinearCase) -> str | None:
        return None if case.m <= MOST_ROWS else f"{case.m} rows are not served: {MOST_ROWS} at most"

    def prepare(
        self, case: LinearCase, inputs: LinearInputs, chosen: Configuration | None = None
    ) -> _cpu_products.Product:
        return _cpu_products.native(case, inputs, self._chooser, chosen)

    def run(self, inputs: LinearInputs, product: _cpu_products.Product) -> Tensor:
        return product(inputs.x)

    def configuration(self, case: LinearCase) -> str | None:
        return self._chooser.told(case, _cpu_products.described)
