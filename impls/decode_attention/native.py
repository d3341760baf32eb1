"""Decoding by our own kernel in C."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, Needs, implements
from attnlab.impls import _cache, _cpu_rows
from attnlab.kernels.cpu.decode_rows import MOST_HEAD_DIM, decode_rows


@implements("decode_attention", name="native", needs=Needs(device="cpu"))
class Native:
    """Our kernel in C on contiguous caches, compiled for this processor: chunks of keys are shared by threads."""

    def supports(self, case: DecodeCase) -> str | None:
        if case.placing.paged or case.placing.wraps:
            return f"layout {case.layout} is not served: tokens must lie one after another"
        if case.head_dim > MOST_HEAD_DIM:
            return f"head size {case.head_dim} is not served: {MOST_HEAD_DIM} at most"
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> tuple[Any, int]:
        of = case.head_dim, case.torch_dtype, case.mask.window, case.mask.is_causal
        return _cpu_rows.made(decode_rows, *of), case.longest

    def run(self, inputs: DecodeInputs, state: tuple[Any, int]) -> Tensor:
        kernel, longest = state
        k, v = _cache.block(inputs, longest)
        out: Tensor = kernel(inputs.q, k, v, inputs.cache.lengths, longest, inputs.scale)
        return out
