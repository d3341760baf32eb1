"""A linear layer with nf4 weights by bitsandbytes."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear._codes import coded, only_formats

BLOCK, ONE = 64, 15  # the code of 1, whose number is the block's scale


@implements("linear", name="bitsandbytes", needs=Needs(packages=("bitsandbytes",)), serves={"format": ("nf4",)})
class BitsAndBytes:
    """bitsandbytes' matmul_4bit; scales of blocks are worked out in set-up, so that it reads four bytes for each.

    Its eight-bit path has another rule for x: numbers beyond a threshold stay in float16.
    """

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> tuple[Any, Tensor, Any]:
        module = importlib.import_module("bitsandbytes")
        weight = coded(inputs)
        codec = weight.format.codec
        codes, steps = codec.unpack(weight.planes, *weight.shape)
        of_one = torch.full_like(codes[..., :1], ONE)
        flat = codes.flatten()
        state = module.functional.QuantState(
            absmax=codec.values(of_one, steps).flatten(),
            shape=torch.Size(weight.shape),
            code=module.functional.get_4bit_type("nf4", device=flat.device),
            blocksize=BLOCK,
            quant_type="nf4",
            dtype=inputs.x.dtype,
        )
        return module, (flat[::2] << 4 | flat[1::2])[:, None].contiguous(), state

    def run(self, inputs: LinearInputs, state: tuple[Any, Tensor, Any]) -> Tensor:
        module, packed, quant_state = state
        out: Tensor = module.matmul_4bit(inputs.x, packed.T, quant_state, bias=inputs.bias)
        return out
