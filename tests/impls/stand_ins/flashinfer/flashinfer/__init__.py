"""Stands in for flashinfer-python 0.6.8: prefill over ragged keys and values, and over pages."""

from __future__ import annotations

from typing import Any

import torch
from plain_attention import NO_LIMIT, Added, attend_ragged
from torch import Tensor

calls: list[dict[str, Any]] = []


class BatchPrefillWithRaggedKVCacheWrapper:
    def __init__(self, float_workspace_buffer: Tensor, kv_layout: str = "NHD") -> None:
        assert (kv_layout, float_workspace_buffer.dtype) == ("NHD", torch.uint8)
        self._plan: dict[str, Any] | None = None

    def plan(
        self,
        qo_indptr: Tensor,
        kv_indptr: Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        head_dim_vo: int | None = None,
        custom_mask: Tensor | None = None,
        causal: bool = False,
        window_left: int = -1,
        logits_soft_cap: float | None = None,
        sm_scale: float | None = None,
        q_data_type: torch.dtype = torch.float16,
        kv_data_type: torch.dtype | None = None,
    ) -> None:
        assert qo_indptr.dtype == kv_indptr.dtype == torch.int32
        self._plan = {
            "starts": (qo_indptr, kv_indptr),
            "shape": (num_qo_heads, num_kv_heads, head_dim_qk, head_dim_vo),
            "dtypes": (q_data_type, kv_data_type or q_data_type),
            "causal": causal,
            "added": Added(logits_soft_cap or 0.0, seen=custom_mask),
            "left": window_left,
            "scale": sm_scale,
        }

    def run(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        plan = self._plan
        assert plan is not None, "run before plan"
        assert (q.shape[1], k.shape[1], q.shape[2], v.shape[2]) == plan["shape"]
        assert (q.dtype, k.dtype) == plan["dtypes"]
        assert q.shape[0] == plan["starts"][0][-1]
        calls.append({"q": q, "k": k, "v": v, "left": plan["left"], "causal": plan["causal"]})
        left = NO_LIMIT if plan["left"] < 0 else plan["left"]
        out = attend_ragged(q, k, v, *plan["starts"], plan["scale"], plan["causal"], left, plan["added"])
        return out.to(q.dtype).contiguous()


class BatchPrefillWithPagedKVCacheWrapper:
    def __init__(self, float_workspace_buffer: Tensor, kv_layout: str = "NHD") -> None:
        self._order = kv_layout
        self._ragged = BatchPrefillWithRaggedKVCacheWrapper(float_workspace_buffer)

    def plan(
        self,
        qo_indptr: Tensor,
        paged_kv_indptr: Tensor,
        paged_kv_indices: Tensor,
        paged_kv_last_page_len: Tensor,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        page_size: int,
        **others: Any,
    ) -> None:
        assert paged_kv_indices.dtype == torch.int32
        pages = paged_kv_indptr.diff()
        lengths = (pages - 1) * page_size + paged_kv_last_page_len
        self._pages = [own.long() for own in paged_kv_indices.split(pages.tolist())]
        self._lengths = lengths.tolist()
        starts = torch.tensor([0, *self._lengths]).cumsum(0).int()
        self._ragged.plan(qo_indptr, starts, num_qo_heads, num_kv_heads, head_dim_qk, head_dim_qk, **others)

    def run(self, q: Tensor, caches: tuple[Tensor, Tensor]) -> Tensor:
        k, v = (x if self._order == "NHD" else x.transpose(1, 2) for x in caches)
        both = list(zip(self._pages, self._lengths, strict=True))
        keys, values = (torch.cat([x[own].flatten(0, 1)[:length] for own, length in both]) for x in (k, v))
        return self._ragged.run(q, keys, values)
