"""A linear layer with eight-bit floats for weights and activations by PyTorch's own product."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, Unavailable, implements
from attnlab.impls.linear._codes import FP8, coded, only_formats, scales, tokens, with_bias

MULTIPLE = 16  # of cuBLAS; a CPU serves any


@implements("linear", name="scaled_mm", needs=Needs(capability=(8, 9)), serves={"format": FP8})
class ScaledMm:
    """torch._scaled_mm after eager codes of x; sums without the fast accumulation of tensor cores."""

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> tuple[Tensor, Tensor, torch.dtype]:
        weight = coded(inputs)
        by_row = weight.format.rows_apart
        if inputs.x.is_cuda and (case.n % MULTIPLE or case.k % MULTIPLE):
            raise Unavailable(f"N={case.n}, K={case.k} is not served on a GPU: multiples of {MULTIPLE} only")
        if inputs.x.is_cuda and by_row and case.dtype != "bfloat16":
            raise Unavailable(f"scales of rows with {case.dtype} are not served on a GPU: bfloat16 only")
        scale = scales(weight).T.contiguous() if by_row else scales(weight)[0, 0]
        return weight.planes["codes"].T, scale, torch.bfloat16 if by_row and inputs.x.is_cuda else torch.float32

    def run(self, inputs: LinearInputs, state: tuple[Tensor, Tensor, torch.dtype]) -> Tensor:
        weight, scale, dtype = state
        codes, token_scale = tokens(inputs)
        token_scale = token_scale if scale.ndim else token_scale[0, 0]
        out: Tensor = torch._scaled_mm(codes, weight, token_scale, scale, out_dtype=dtype, use_fast_accum=False)
        return with_bias(out, inputs)
