"""What the implementations of linear on a CPU share: weights packed for oneDNN, and our own kernel for few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from attnlab.bench import Configuration, LinearCase, LinearInputs, Space, Unavailable
from attnlab.impls._configs import Chooser
from attnlab.kernels.cpu.linear_rows import COLUMNS, UNROLL, linear_rows
from attnlab.kernels.cpu.row_numbers import NoCompiler

Product = Callable[[Tensor], Tensor]

NATIVE_ROWS = {"float32": 8, "float16": 8, "bfloat16": 3}
"""Up to how many rows our kernel is as fast as oneDNN's packed one: benchmarks/linear_cpu.py. Beyond, the processor's
instructions for bfloat16 win."""


def _shape(case: LinearCase) -> tuple[dict[str, int | str], dict[str, int]]:
    return {"dtype": case.dtype, "m": case.m}, {"n": case.n, "k": case.k}


def _unfit(case: LinearCase, tile: Configuration) -> str | None:
    unroll, columns = int(tile["unroll"]), int(tile["columns"])
    if case.stored_as is not None:
        return None if (unroll, columns) == (UNROLL, COLUMNS) else "the kernels of weights in codes have one tile"
    return "more than 64 sums, which no processor has the registers for" if unroll * columns * case.m > 64 else None


NATIVE_SPACE = Space(
    axes={"unroll": (1, 2, 4, 8), "columns": (1, 2, 4, 8)},
    default=lambda case: {"unroll": UNROLL, "columns": COLUMNS},
    shape=_shape,
    unfit=_unfit,
)


def native(case: LinearCase, inputs: LinearInputs, chooser: Chooser, chosen: Configuration | None = None) -> Product:
    """x [M, K] -> [M, N] by our kernel in C; raises Unavailable where it cannot be compiled."""
    tile = chooser.take(case, inputs.x.device, chosen)
    try:
        kernel = linear_rows(case.m, case.torch_dtype, int(tile["unroll"]), int(tile["columns"]))
    except NoCompiler as error:
        raise Unavailable(str(error)) from error
    return lambda x: kernel(x, inputs.weight, inputs.bias)


def native_chooser() -> Chooser:
    """What the implementations that call it take its tile by."""
    return Chooser("linear/native", NATIVE_SPACE)


def described(tile: Configuration) -> str:
    """A tile of our kernel in C, in words."""
    return f"{tile['unroll']} sums a row, {tile['columns']} rows of the weight together"


class PackedWeights:
    """Copies of weights in the order of oneDNN's kernels; for 4 to 256 rows they were found equally fast on each copy.

    So a weight is packed once as long as it lives, and a model that is set up for several numbers of rows holds one.
    """

    def __init__(self) -> None:
        self._copies = WeakIdKeyDictionary()

    def __len__(self) -> int:
        return len(self._copies)

    def product(self, case: LinearCase, inputs: LinearInputs) -> Product:
        """x [M, K] -> [M, N]; raises Unavailable where this torch or this processor has no kernel for the dtype."""
        if not torch.backends.mkldnn.is_available():
            raise Unavailable("needs a torch that was built with oneDNN")
        operators: Any = torch.ops.mkldnn
        version = 0 if inputs.weight.is_inference() else inputs.weight._version  # it is another weight once written to
        if self._copies.get(inputs.weight, (-1, None))[0] != version:
            try:
                self._copies[inputs.weight] = version, operators._reorder_linear_weight(inputs.weight, case.m)
            except (RuntimeError, AttributeError) as error:
                raise Unavailable(f"oneDNN packs no weight of {case.dtype} here: {error}") from error
        weight, bias = self._copies[inputs.weight][1], inputs.bias
        product = operators._linear_pointwise.default
        return lambda x: product(x, weight, bias, "none", [], "")
