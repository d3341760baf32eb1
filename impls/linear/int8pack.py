"""A linear layer with int8 weights by PyTorch's own kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear._codes import coded, only_formats, scales


@implements("linear", name="int8pack", needs=Needs(device="cpu"), serves={"format": ("int8",)})
class Int8Pack:
    """torch._weight_int8pack_mm: codes are multiplied as they lie; scales are rounded to x's dtype in set-up."""

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> Tensor:
        return scales(coded(inputs), inputs.x.dtype).flatten()

    def run(self, inputs: LinearInputs, scale: Tensor) -> Tensor:
        out = torch._weight_int8pack_mm(inputs.x, coded(inputs).planes["codes"], scale)
        return out if inputs.bias is None else out + inputs.bias
