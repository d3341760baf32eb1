"""RMSNorm by our own kernel in C."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Needs, RmsNormCase, RmsNormInputs, implements
from attnlab.impls import _cpu_rows
from attnlab.kernels.cpu.small_rows import norm_rows


@implements("rmsnorm", name="native", needs=Needs(device="cpu"))
class Native:
    """Our kernel in C, compiled for this processor: in float32, rounded once; rows are read from the cache again."""

    def prepare(self, case: RmsNormCase, inputs: RmsNormInputs) -> Any:
        return _cpu_rows.made(norm_rows, case.torch_dtype)

    def run(self, inputs: RmsNormInputs, kernel: Any) -> Tensor:
        out: Tensor = kernel(inputs.x, inputs.weight, inputs.eps)
        return out
