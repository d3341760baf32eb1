"""Inputs of operator `decode_attention`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.operator_spec import constant, dynamic
from attnlab.bench.llm.caches import KVCache
from attnlab.bench.llm.masks import Mask


@dataclass(frozen=True)
class DecodeInputs:
    """Inputs of decode_attention.

    q [B, Hq, Sq, D] in the case's dtype: the last Sq tokens of each sequence. cache: keys and values of all its
    tokens, the new ones among them; see `attnlab.bench.llm.caches.KVCache`. Query i of a sequence of S tokens stands at
    position S - Sq + i, and sees no later key; a query at a negative position sees none, and its output is zeros.
    The output is [B, Hq, Sq, D] in q's dtype. Scores and all sums are in float32 or better, those of parts of the cache
    included. All tensors are redrawn after `prepare`, but the block table and the
    lengths come back as they were: a plan may be made from them.
    """

    q: Tensor = dynamic("queries [B, Hq, Sq, D]")
    cache: KVCache = dynamic("keys and values in the case's layout and format")
    mask: Mask = constant("which keys a query may see")
    scale: float = constant("what scores are multiplied by, 1/√D")
