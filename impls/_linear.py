"""What the implementations of linear on a CPU share: weights packed for oneDNN, and our own kernel for few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.errors import Unavailable
from attnlab.bench.ops.linear import LinearCase, LinearInputs

Product = Callable[[Tensor], Tensor]

NATIVE_ROWS = {"float32": 8, "float16": 8, "bfloat16": 3}
"""Up to how many rows our kernel is as fast as oneDNN's packed one: benchmarks/linear_cpu.py. Beyond, the processor's
instructions for bfloat16 win."""


def native(case: LinearCase, inputs: LinearInputs) -> Product:
    """x [M, K] -> [M, N] by our kernel in C; raises Unavailable where it cannot be compiled."""
    from attnlab.kernels.cpu.linear_rows import NoCompiler, linear_rows

    try:
        kernel = linear_rows(case.m, case.torch_dtype)
    except NoCompiler as error:
        raise Unavailable(str(error)) from error
    return lambda x: kernel(x, inputs.weight, inputs.bias)


def packed(case: LinearCase, inputs: LinearInputs) -> Product:
    """x [M, K] -> [M, N] by oneDNN on a copy of the weight in the order of its kernels.

    Raises Unavailable where this torch or this processor has none for the dtype.
    """
    if not torch.backends.mkldnn.is_available():
        raise Unavailable("needs a torch that was built with oneDNN")
    operators: Any = torch.ops.mkldnn
    try:
        weight = operators._reorder_linear_weight(inputs.weight, case.m)
    except (RuntimeError, AttributeError) as error:
        raise Unavailable(f"oneDNN packs no weight of {case.dtype} here: {error}") from error
    product, bias = operators._linear_pointwise.default, inputs.bias
    return lambda x: product(x, weight, bias, "none", [], "")
