"""A linear layer with int8 weights by torchao's tensor subclass."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor
from torch.nn.functional import linear

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls.linear._codes import coded, only_formats, scales

TENSORS = "torchao.quantization.quantize_.workflows.int8.int8_tensor"


@implements("linear", name="torchao", needs=Needs(packages=("torchao",)), serves={"format": ("int8",)})
class TorchAo:
    """torchao's Int8Tensor under F.linear; scales are rounded to x's dtype in set-up.

    Its activations in eight bits have another rule (their scale is the largest over 127.5), its int4 on a GPU is the
    kernel of `int4pack`, its fp8 that of `scaled_mm`.
    """

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> Any:
        made = importlib.import_module(TENSORS).Int8Tensor
        weight = coded(inputs)
        scale = scales(weight, inputs.x.dtype)
        return made(weight.planes["codes"], scale, [1, weight.shape[1]], inputs.x.dtype)

    def run(self, inputs: LinearInputs, weight: Any) -> Tensor:
        return linear(inputs.x, weight, inputs.bias)
