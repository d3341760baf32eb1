"""FlashInfer's batch decoding over a paged cache, planned as set-up."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, Needs, implements
from attnlab.impls import _cache, _eager, _flashinfer
from attnlab.impls._dtypes import dtype_limits

HEAD_SIZES = (64, 128, 256)
ORDERS = {"shd": "NHD", "hsd": "HND"}


@implements(
    "decode_attention",
    name="flashinfer",
    needs=Needs(device="cuda", capability=(8, 0), packages=("flashinfer",)),
    unverified="flashinfer-python 0.6.8, BatchPrefillWithPagedKVCacheWrapper: plan(qo_indptr, paged_kv_indptr, "
    "paged_kv_indices, paged_kv_last_page_len, …, causal=…, window_left=…, custom_mask=…, "
    "logits_soft_cap=…, sm_scale=…), run(q, (k, v))",
    serves={"mask": True, "softcap": True, "qk_norm": True},
)
class FlashInfer:
    """FlashInfer's paged kernels, on one or more new tokens, planned as set-up from table and lengths; no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        if (reason := dtype_limits(case.dtype)) is not None:
            return reason
        if case.head_dim not in HEAD_SIZES:
            return f"head size {case.head_dim} is not served: {', '.join(map(str, HEAD_SIZES))} only"
        if not case.placing.paged:
            return f"layout {case.layout} is not served: pages only"
        if min(case.lengths) < case.q_len:
            return "sequences shorter than their new tokens are not served"
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> Any:
        flashinfer = importlib.import_module("flashinfer")
        cache, device = inputs.cache, inputs.q.device
        workspace = _flashinfer.workspace(device)
        wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, ORDERS[case.placing.order])
        pages = [case.placing.pages_for(length) for length in case.lengths]
        assert cache.table is not None
        wrapper.plan(
            _flashinfer.starts([case.q_len] * case.batch, device),
            _flashinfer.starts(pages, device),
            torch.cat([cache.table[n, :count] for n, count in enumerate(pages)]),
            torch.tensor([(length - 1) % cache.page_tokens + 1 for length in case.lengths], dtype=torch.int32).to(
                device
            ),
            case.q_heads,
            case.kv_heads,
            case.head_dim,
            cache.page_tokens,
            **_flashinfer.planned(case.mask, case.softcap, case.sequences, device),
            sm_scale=inputs.scale,
            q_data_type=inputs.q.dtype,
            kv_data_type=inputs.q.dtype,
        )
        self.run(inputs, wrapper)  # compiles at first use
        return wrapper

    def run(self, inputs: DecodeInputs, wrapper: Any) -> Tensor:
        order = inputs.cache.layout.order
        k, v = (side.planes["data"] for side in (inputs.cache.keys, inputs.cache.values))
        if order == "hsd":
            k, v = k.transpose(1, 2), v.transpose(1, 2)  # as they lie
        rows = _eager.normed(inputs.q, inputs.q_norm).transpose(1, 2).flatten(0, 1)  # [T, Hq, D]
        out: Tensor = wrapper.run(rows, (k, v))
        return out.view(inputs.q.shape[0], -1, *out.shape[1:]).transpose(1, 2)
