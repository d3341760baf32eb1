"""A linear layer for few rows by our own kernel in C."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear import _cpu_products
from attnlab.kernels.cpu.linear_rows import MOST_ROWS


@implements("linear", name="native", needs=Needs(device="cpu"))
class Native:
    """Our kernel in C, compiled for this processor: each row of the weight is read once, as it lies."""

    def supports(self, case: LinearCase) -> str | None:
        return None if case.m <= MOST_ROWS else f"{case.m} rows are not served: {MOST_ROWS} at most"

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> _cpu_products.Product:
        return _cpu_products.native(case, inputs)

    def run(self, inputs: LinearInputs, product: _cpu_products.Product) -> Tensor:
        return product(inputs.x)
