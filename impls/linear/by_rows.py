"""A linear layer by whichever of two kernels is faster for its number of rows."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear import _cpu_codes, _cpu_products
from attnlab.kernels.cpu.row_numbers import MOST_ROWS


@implements("linear", name="by_rows", needs=Needs(device="cpu"), serves={"format": _cpu_codes.SERVED})
class ByRows:
    """Our kernels in C for few rows, as in decoding, oneDNN for more, as in a prompt: on packed weights, or on codes
    that are written out in the dtype for it."""

    def __init__(self) -> None:
        self._weights = _cpu_products.PackedWeights()
        self._chooser = _cpu_products.native_chooser()
        self._many = _cpu_codes.ManyRows()

    def supports(self, case: LinearCase) -> str | None:
        return _cpu_codes.limits(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> _cpu_products.Product:
        few = _is_few(case)
        if case.stored_as is not None:
            return _cpu_codes.few(case, inputs) if few else self._many.product(case, inputs)
        return _cpu_products.native(case, inputs, self._chooser) if few else self._weights.product(case, inputs)

    def run(self, inputs: LinearInputs, product: _cpu_products.Product) -> Tensor:
        return product(inputs.x)

    def configuration(self, case: LinearCase) -> str:
        if case.stored_as is not None:
            return f"native, {_cpu_codes.variant()}" if _is_few(case) else _cpu_codes.way_of_many(case)
        return "native" if _is_few(case) else "packed"


def _is_few(case: LinearCase) -> bool:
    return case.m <= (MOST_ROWS if case.stored_as is not None else _cpu_products.NATIVE_ROWS[case.dtype])
