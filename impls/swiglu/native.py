"""SwiGLU by our own kernel in C."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Needs, SwigluCase, SwigluInputs, implements
from attnlab.impls import _cpu_rows
from attnlab.kernels.cpu.small_rows import swiglu_rows


@implements("swiglu", name="native", needs=Needs(device="cpu"))
class Native:
    """Our kernel in C, compiled for this processor: one pass, in float32, rounded once."""

    def prepare(self, case: SwigluCase, inputs: SwigluInputs) -> Any:
        return _cpu_rows.made(swiglu_rows, case.torch_dtype)

    def run(self, inputs: SwigluInputs, kernel: Any) -> Tensor:
        out: Tensor = kernel(inputs.x)
        return out
