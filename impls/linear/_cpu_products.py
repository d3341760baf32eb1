"""What the implementations of linear on a CPU share: weights packed for oneDNN, and our own kernel for few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from attnlab.bench import LinearCase, LinearInputs, Unavailable
from attnlab.kernels.cpu.linear_rows import NoCompiler, linear_rows

Product = Callable[[Tensor], Tensor]

NATIVE_ROWS = {"float32": 8, "float16": 8, "bfloat16": 3}
"""Up to how many rows our kernel is as fast as oneDNN's packed one: benchmarks/linear_cpu.py. Beyond, the processor's
instructions for bfloat16 win."""


def native(case: LinearCase, inputs: LinearInputs) -> Product:
    """x [M, K] -> [M, N] by our kernel in C; raises Unavailable where it cannot be compiled."""
    try:
        kernel = linear_rows(case.m, case.torch_dtype)
    except NoCompiler as error:
        raise Unavailable(str(error)) from error
    return lambda x: kernel(x, inputs.weight, inputs.bias)


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
