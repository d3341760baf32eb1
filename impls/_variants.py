"""Masks, packs and scores of a case, as the launchers of our Triton kernels take them.

Tables are made in `prepare`, on the device, from static inputs.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, DecodeCase, DecodeInputs
from attnlab.bench.llm import NORM_EPS

MASKS = ("chunked", "prefix", "document", "tree")
SERVES: dict[str, Any] = {"mask": MASKS, "softcap": True, "sinks": True, "bias": True, "packed_keys": True}
DECODE_SERVES: dict[str, Any] = {
    "mask": ("chunked", "prefix", "tree"),
    "softcap": True,
    "sinks": True,
    "bias": True,
    "qk_norm": True,
}


def mask_of(mask: Any, device: Any) -> Any:
    """A `Mask` of the kernels."""
    from attnlab.kernels.triton.attention_masks import Mask, documents, tree

    if mask.kind == "document":
        return documents(mask.documents, device)
    return tree(mask.parents, device) if mask.kind == "tree" else Mask(mask.kind, mask.size or 0)


def scoring_of(inputs: AttentionInputs | DecodeInputs, q_len: int, kv_len: int) -> Any:
    """A `Scoring` of the kernels, for so many queries and keys at most."""
    from attnlab.kernels.triton.attention_scoring import Scoring

    kind, table = inputs.bias.kind, inputs.bias_table
    if kind == "relative" and table is not None:
        table = inputs.bias.by_distance(table, q_len, kv_len, inputs.mask.is_causal).contiguous()
    kinds = {"alibi": "slopes", "relative": "distances", "dense": "dense"}
    return Scoring(inputs.softcap, inputs.sinks, table, kinds.get(kind, "none"))


def arguments_of(case: AttentionCase, inputs: AttentionInputs) -> dict[str, Any]:
    """The keywords for scale, mask, packs and scores of attention over a prompt."""
    return {
        "scale": inputs.scale,
        "mask": mask_of(inputs.mask, inputs.q.device),
        "scoring": scoring_of(inputs, inputs.q.shape[2], inputs.k.shape[2]),
        "cu_seqlens": inputs.packed,
        "cu_seqlens_k": inputs.packed_keys,
        "max_seqlen": max(case.packed) if case.packed else None,
    }


def gathers(case: AttentionCase | DecodeCase) -> bool:
    """Whether each score has a number of its own to load."""
    return case.mask.kind == "tree" or case.bias.kind in ("relative", "dense")


def is_shaped(case: AttentionCase | DecodeCase) -> bool:
    """Whether scores have a cap or a bias, or a tree's mask."""
    return gathers(case) or case.softcap is not None or bool(case.bias)


def normed(x: Tensor, weight: Tensor | None) -> Tensor:
    """RMSNorm of rows [..., D] by our kernel; as they are without a weight."""
    from attnlab.kernels.triton.norms import rms_norm

    return x if weight is None else rms_norm(x.reshape(-1, x.shape[-1]), weight, NORM_EPS).reshape(x.shape)
