"""A linear layer with int4 weights by PyTorch's own kernel for the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear._codes import INT4, coded, group_size, int4_codes, only_formats
from attnlab.impls.linear._int4pack import scales_and_middles

ROWS = 16  # of the weight, of which the kernel takes whole blocks


@implements("linear", name="int4pack_cpu", needs=Needs(device="cpu"), serves={"format": INT4})
class Int4PackCpu:
    """torch's _weight_int4pack_mm_for_cpu: packed in set-up; scales are rounded to x's dtype there."""

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case) or (f"N={case.n} is not served: multiples of {ROWS} only" if case.n % ROWS else None)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> tuple[Tensor, int, Tensor]:
        weight = coded(inputs)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(int4_codes(weight).int(), 1)
        return packed, group_size(weight), scales_and_middles(weight, inputs.x.dtype)

    def run(self, inputs: LinearInputs, state: tuple[Tensor, int, Tensor]) -> Tensor:
        out: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(inputs.x, *state)
        return out if inputs.bias is None else out + inputs.bias
