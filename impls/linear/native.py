"""A linear layer for few rows by our own kernels in C."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import Configuration, LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear import _cpu_codes, _cpu_products
from attnlab.kernels.cpu.row_numbers import MOST_ROWS


@implements(
    "linear",
    name="native",
    needs=Needs(device="cpu"),
    space=_cpu_products.NATIVE_SPACE,
    serves={"format": _cpu_codes.SERVED},
)
class Native:
    """Our kernels in C, compiled for this processor: each row of the weight is read once, as it lies, codes too."""

    def __init__(self) -> None:
        self._chooser = _cpu_products.native_chooser()

    def supports(self, case: LinearCase) -> str | None:
        return _cpu_codes.limits(case) if case.m <= MOST_ROWS else f"{case.m} rows are not served: {MOST_ROWS} at most"

    def prepare(
        self, case: LinearCase, inputs: LinearInputs, chosen: Configuration | None = None
    ) -> _cpu_products.Product:
        if case.stored_as is not None:
            return _cpu_codes.few(case, inputs)
        return _cpu_products.native(case, inputs, self._chooser, chosen)

    def run(self, inputs: LinearInputs, product: _cpu_products.Product) -> Tensor:
        return product(inputs.x)

    def configuration(self, case: LinearCase) -> str | None:
        if case.stored_as is not None:
            return _cpu_codes.variant()
        return self._chooser.told(case, _cpu_products.described)
