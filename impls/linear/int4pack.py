"""A linear layer with int4 weights by PyTorch's own kernel for a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear._codes import INT4, coded, group_size, int4_codes, only_formats
from attnlab.impls.linear._int4pack import scales_and_middles

INNER_TILES = 8  # tiles of 16 columns that a warp unpacks at once
COLUMNS = 16 * INNER_TILES


@implements(
    "linear",
    name="int4pack",
    needs=Needs(device="cuda", capability=(8, 0)),
    serves={"format": INT4},
    unverified="torch 2.13, _convert_weight_to_int4pack(uint8 [N, K / 2], inner_k_tiles), "
    "_weight_int4pack_mm(x, packed, group, scales_and_zeros)",
)
class Int4Pack:
    """torch's _weight_int4pack_mm (tinygemm): packed in set-up; scales are rounded to bfloat16 there."""

    def supports(self, case: LinearCase) -> str | None:
        if case.dtype != "bfloat16":
            return f"{case.dtype} is not served: bfloat16 only"
        if case.n % 8 or case.k % COLUMNS:
            return f"N={case.n}, K={case.k} is not served: N a multiple of 8 and K of {COLUMNS} only"
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> tuple[Tensor, int, Tensor]:
        weight = coded(inputs)
        codes = int4_codes(weight)
        pairs = codes[:, ::2] << 4 | codes[:, 1::2]
        packed = torch.ops.aten._convert_weight_to_int4pack(pairs, INNER_TILES)
        return packed, group_size(weight), scales_and_middles(weight, inputs.x.dtype)

    def run(self, inputs: LinearInputs, state: tuple[Tensor, int, Tensor]) -> Tensor:
        out: Tensor = torch.ops.aten._weight_int4pack_mm(inputs.x, *state)
        return out if inputs.bias is None else out + inputs.bias
