"""Attention of every layer of a model over its key-value caches: in prefill, in chunks of it, and in decode passes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import (
    AppendCase,
    AppendInputs,
    AttentionCase,
    AttentionInputs,
    DecodeCase,
    DecodeInputs,
    ModelConfig,
)
from attnlab.bench.llm import mask_of
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate._engine.parts import Kernel, Parts
from attnlab.impls.generate._engine.variants import axes_of

MOST_PLANS = 4096  # kept at a time: lengths of batches hardly ever come again


@dataclass(frozen=True, eq=False)
class AttentionPlan:
    """What a pass over the cache needs beyond its tokens; layers of one mask share it, unless they have sinks."""

    starts: Tensor  # int32 [B], where the new tokens begin
    append: Kernel
    attend: Mapping[object, Kernel]


class CachedAttention:
    """Stores the new tokens of a layer and attends over all, by the parts `append`, `attention` and `prompt_attention`.

    Kernels are set up at the first pass of a shape, and kept.
    """

    def __init__(
        self, config: ModelConfig, parts: Parts, caches: KVCaches, sinks: Sequence[Tensor | None] | None = None
    ) -> None:
        self.config, self.parts, self.caches = config, parts, caches
        self.sinks = [None if sink is None else sink.float() for sink in sinks or [None] * config.layers]
        self.scale = config.scale
        self.masks = [mask_of(config.window_of(layer)) for layer in range(config.layers)]
        self._plans: dict[tuple[int, tuple[int, ...]], AttentionPlan] = {}
        self._kernels: dict[tuple[object, int, int, int], Kernel] = {}

    def over(self, caches: KVCaches) -> CachedAttention:
        """The same over a view of the caches, for one pass."""
        other = copy.copy(self)
        other.caches = caches
        other._plans, other._kernels = {}, {}  # lengths hardly ever come again
        return other

    def prefill(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store the first tokens of empty caches, [B, S, H, D], and attend among them -> [B, S, Hq, D].

        Of one prompt that all sequences share, B is 1.
        """
        self.caches.store_prompt(layer, k, v)
        return self._attend_causally(layer, q, k, v)

    def prefill_chunk(self, starts: Tensor, length: int, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store tokens [B, S, H, D] at `starts` and attend over all, `length` a sequence -> [B, S, Hq, D].

        Keys and values are read back as they are stored, the new ones too, so that a token sees the same ones however
        its text is cut into chunks.
        """
        cache = self.caches.layers[layer]
        cache.write(k.transpose(1, 2), v.transpose(1, 2), starts)
        keys, values = (x.to(self.caches.dtype).transpose(1, 2) for x in cache.read(length=length))
        return self._attend_causally(layer, q, keys, values)

    def plan(self, new: int, lengths: Sequence[int]) -> AttentionPlan:
        """For passes of `new` tokens a sequence, after which sequences are so long; kept for the next time.

        A kernel may be tried where it is set up: it writes where the pass will.
        """
        key = new, tuple(lengths)
        if key not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[key] = self._make_plan(new, key[1])
        return self._plans[key]

    def decode(self, plan: AttentionPlan, starts: Tensor, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store new tokens [B, S, H, D] at `starts`, attend over all -> [B, S, Hq, D]; lengths count the new ones."""
        cache = self.caches.layers[layer]
        plan.append(AppendInputs(k.transpose(1, 2), v.transpose(1, 2), cache, starts))
        inputs = DecodeInputs(q.transpose(1, 2), cache, self.masks[layer], self.scale, **self._variant(layer))
        out: Tensor = plan.attend[self._kind(layer)](inputs)
        return out.transpose(1, 2)

    def _kind(self, layer: int) -> object:
        """What is the same of layers that one kernel, once set up, can serve: sinks may have been packed in it."""
        return self.masks[layer] if self.sinks[layer] is None else layer

    def _variant(self, layer: int) -> dict[str, Any]:
        """Fields of the inputs beyond plain attention's."""
        return {"softcap": self.config.score_softcap, "sinks": self.sinks[layer]}

    def _attend_causally(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of the last S tokens over all T: q [B, S, Hq, D], k and v [B, T, Hkv, D]."""
        mask, batch, new, total = self.masks[layer], len(q), q.shape[1], k.shape[1]
        key = self._kind(layer), batch, new, total
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        inputs = AttentionInputs(q, k, v, mask, None, self.scale, **self._variant(layer))
        if key not in self._kernels:
            case = AttentionCase(
                batch=batch,
                q_heads=self.config.q_heads,
                kv_heads=self.config.kv_heads,
                q_len=new,
                kv_len=total,
                head_dim=self.config.head_dim,
                dtype=self._dtype_name,
                mask=mask,
                **axes_of(self.config),
            )
            self._kernels[key] = self.parts.kernel("prompt_attention", case, inputs)
        out: Tensor = self._kernels[key](inputs)
        return out.transpose(1, 2)

    def _make_plan(self, new: int, lengths: tuple[int, ...]) -> AttentionPlan:
        config, batch, device = self.config, len(lengths), self.caches.lengths.device
        cache = replace(self.caches.layers[0], lengths=torch.tensor(lengths, dtype=torch.int32, device=device))
        starts = cache.lengths - new
        axes: dict[str, Any] = {
            "batch": batch,
            "q_heads": config.q_heads,
            "kv_heads": config.kv_heads,
            "q_len": new,
            "context": lengths[0] if len(set(lengths)) == 1 else "+".join(map(str, lengths)),
            "head_dim": config.head_dim,
            "dtype": self._dtype_name,
            "layout": self.caches.layout.name,
            "cache": self.caches.format.name,
        }
        q, k = (
            torch.zeros(batch, heads, new, config.head_dim, dtype=self.caches.dtype, device=device)
            for heads in (config.q_heads, config.kv_heads)
        )
        append = self.parts.kernel("append", AppendCase(**axes), AppendInputs(k, k, cache, starts))
        attend: dict[object, Kernel] = {}
        added = axes_of(config)
        for layer, mask in enumerate(self.masks):
            if self._kind(layer) not in attend:
                inputs = DecodeInputs(q, cache, mask, self.scale, **self._variant(layer))
                case = DecodeCase(**axes, **added, mask=mask)
                attend[self._kind(layer)] = self.parts.kernel("attention", case, inputs)
        return AttentionPlan(starts, append, attend)

    @property
    def _dtype_name(self) -> str:
        return str(self.caches.dtype).removeprefix("torch.")
