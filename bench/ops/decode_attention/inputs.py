"""Inputs of operator `decode_attention`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.operator_spec import constant, dynamic, static
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.caches import KVCache
from attnlab.bench.llm.masks import Mask


@dataclass(frozen=True)
class DecodeInputs:
    """Inputs of decode_attention.

    q [B, Hq, Sq, D] in the case's dtype: the last Sq tokens of each sequence. cache: keys and values of all its
    tokens, the new ones among them; see `attnlab.bench.llm.caches.KVCache`. Query i of a sequence of S tokens
    stands at position S - Sq + i, and sees no later key; a query at a negative position sees none, and its output
    is zeros. Of a tree the new tokens are its nodes. softcap, sinks, bias, q_norm: the formula is in
    `attnlab.bench.ops._shared.variants`; None, or a bias of kind none, where the case has none of them. Keys in the
    cache are normed already. The output is [B, Hq, Sq, Dv] in q's dtype. Scores and all sums are in float32 or
    better, those of parts of the cache included. All tensors are redrawn after `prepare`, but the block table and
    the lengths come back as they were: a plan may be made from them.
    """

    q: Tensor = dynamic("queries [B, Hq, Sq, D]")
    cache: KVCache = dynamic("keys and values in the case's layout and format")
    mask: Mask = constant("which keys a query may see")
    scale: float = constant("what scores are multiplied by, 1/√D")
    softcap: float | None = constant("cap of the scaled scores", default=None)
    sinks: Tensor | None = static("a logit for each query head [Hq], float32", default=None)
    bias: Bias = constant("what is added to scores", default=Bias())
    bias_table: Tensor | None = static("the numbers of the bias, see `Bias`", default=None)
    q_norm: Tensor | None = static("weight of the queries' norm [D]", default=None)
