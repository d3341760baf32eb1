"""FlashInfer's prefill over ragged keys and values, planned as set-up."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, implements
from attnlab.impls import _eager, _flashinfer
from attnlab.impls._dtypes import dtype_limits

HEAD_SIZES = ((64, 64), (128, 128), (192, 128), (256, 256))  # of queries and keys, and of values


@implements(
    "attention",
    name="flashinfer",
    needs=Needs(device="cuda", capability=(8, 0), packages=("flashinfer",)),
    unverified="flashinfer-python 0.6.8, BatchPrefillWithRaggedKVCacheWrapper: "
    "plan(qo_indptr, kv_indptr, …, causal=…, window_left=…, custom_mask=…, logits_soft_cap=…, sm_scale=…), "
    "run(q, k, v)",
    serves={"mask": True, "softcap": True, "qk_norm": True, "packed_keys": True},
)
class FlashInfer:
    """FlashInfer's ragged prefill, which picks its FlashAttention-2 or -3 kernel; planned as set-up.

    A single or packed sequence goes in as a view; several of a batch are copied to [T, H, D] in its time.
    """

    def supports(self, case: AttentionCase) -> str | None:
        if (reason := dtype_limits(case.dtype)) is not None:
            return reason
        if (case.head_dim, case.v_head_dim) not in HEAD_SIZES:
            odd = "" if case.v_head_dim == case.head_dim else f" (values {case.v_head_dim})"
            return f"head size {case.head_dim}{odd} is not served: 64, 128, 192 (values 128) and 256 only"
        return None

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> Any:
        flashinfer = importlib.import_module("flashinfer")
        workspace = _flashinfer.workspace(inputs.q.device)
        wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper(workspace, "NHD")
        wrapper.plan(
            _flashinfer.starts([q for q, _ in case.sequences], inputs.q.device),
            _flashinfer.starts([k for _, k in case.sequences], inputs.q.device),
            case.q_heads,
            case.kv_heads,
            case.head_dim,
            case.v_head_dim,
            **_flashinfer.planned(case.mask, case.softcap, case.sequences, inputs.q.device),
            sm_scale=inputs.scale,
            q_data_type=inputs.q.dtype,
            kv_data_type=inputs.k.dtype,
        )
        self.run(inputs, wrapper)  # compiles at first use
        return wrapper

    def run(self, inputs: AttentionInputs, wrapper: Any) -> Tensor:
        q, k = _eager.normed(inputs.q, inputs.q_norm), _eager.normed(inputs.k, inputs.k_norm)
        rows = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, inputs.v))  # [T, H, D]
        out: Tensor = wrapper.run(*rows)
        return out.view(inputs.q.shape[0], -1, *out.shape[1:]).transpose(1, 2)
