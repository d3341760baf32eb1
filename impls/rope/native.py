"""Positions told by our own kernel in C."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Needs, RopeCase, RopeInputs, implements
from attnlab.impls import _cpu_rows
from attnlab.kernels.cpu.small_rows import STYLES, turn_rows


@implements("rope", name="native", needs=Needs(device="cpu"))
class Native:
    """Our kernel in C, compiled for this processor: heads are turned where they lie; no sinusoids."""

    def supports(self, case: RopeCase) -> str | None:
        return None if case.style in STYLES else f"style {case.style} is not served: {' and '.join(STYLES)} only"

    def prepare(self, case: RopeCase, inputs: RopeInputs) -> Any:
        return _cpu_rows.made(turn_rows, case.torch_dtype, case.style)

    def run(self, inputs: RopeInputs, kernel: Any) -> tuple[Tensor, Tensor]:
        positions = inputs.positions.reshape(-1)
        tables = inputs.cos, inputs.sin, positions
        q, k = (kernel(x.flatten(0, 1), *tables).view(x.shape) for x in (inputs.q, inputs.k))
        return q, k
