"""A linear layer with int8 weights and activations by PyTorch's own product of integers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnlab.bench import LinearCase, LinearInputs, Unavailable, implements
from attnlab.impls.linear._codes import coded, only_formats, scales, tokens, with_bias

FEWEST_ROWS, MULTIPLE = 17, 8  # of cuBLAS; a CPU serves any


@implements("linear", name="int_mm", serves={"format": ("int8_dynamic",)})
class IntMm:
    """torch._int_mm between eager steps: codes of x before, both scales after. On a GPU few rows are padded to 17."""

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> tuple[Tensor, Tensor]:
        if inputs.x.is_cuda and (case.n % MULTIPLE or case.k % MULTIPLE):
            raise Unavailable(f"N={case.n}, K={case.k} is not served on a GPU: multiples of {MULTIPLE} only")
        weight = coded(inputs)
        return weight.planes["codes"].T, scales(weight).T

    def run(self, inputs: LinearInputs, state: tuple[Tensor, Tensor]) -> Tensor:
        weight, scale = state
        codes, token_scale = tokens(inputs)
        rows = len(codes)
        if codes.is_cuda and rows < FEWEST_ROWS:
            codes = pad(codes, (0, 0, 0, FEWEST_ROWS - rows))
        return with_bias(torch._int_mm(codes, weight)[:rows] * (token_scale * scale), inputs)
