"""Storing new tokens in pages by one indexed write a side, whose places are found when it is set up."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import AppendInputs, DecodeCase, implements
from attnlab.impls import _cache


@implements("kv_append", name="indexed", serves=_cache.STORED)
class Indexed:
    """One indexed write a side into pages of the dtype itself: a set-up for many layers with one block table."""

    def supports(self, case: DecodeCase) -> str | None:
        if not case.placing.paged:
            return f"layout {case.layout} is not served: pages only"
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: AppendInputs) -> tuple[Tensor, Tensor]:
        new = inputs.starts.long()[:, None] + torch.arange(case.q_len, device=inputs.k.device)
        return inputs.cache.locate(new, torch.arange(case.batch, device=new.device))

    def run(self, inputs: AppendInputs, places: tuple[Tensor, Tensor]) -> None:
        for side, x in _cache.new_tokens(inputs):
            side.planes["data"][places] = x.transpose(1, 2)  # [B, Sq, Hkv, D]
