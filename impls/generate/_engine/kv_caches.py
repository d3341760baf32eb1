"""The key-value caches of all layers of a model, and how a pass stores its tokens and attends over them."""

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
    KVCache,
    Mask,
    ModelConfig,
)
from attnlab.bench.llm import Format, Layout, mask_of
from attnlab.impls.generate._engine import soft_cap
from attnlab.impls.generate._engine.parts import Kernel, Parts

MOST_PLANS = 4096  # kept at a time: lengths of batches hardly ever come again


@dataclass(frozen=True, eq=False)
class AttentionPlan:
    """What a pass over the cache needs beyond its tokens; layers of one mask share it."""

    starts: Tensor  # int32 [B], where the new tokens begin
    append: Kernel
    attend: Mapping[Mask, Kernel]


class KVCaches:
    """One cache a layer, of the same layout, format and block table.

    capacity: tokens that a sequence may have. pages: of the pool, for paged layouts; enough for all where left out.
    lengths: int32 [B] on the device, shared by all layers: tokens that are stored.
    """

    def __init__(
        self,
        config: ModelConfig,
        parts: Parts,
        layout: Layout,
        format: Format,
        dtype: torch.dtype,
        device: torch.device,
        batch: int,
        capacity: int,
        pages: int | None = None,
    ) -> None:
        self.config, self.parts, self.layout, self.format, self.dtype = config, parts, layout, format, dtype
        self.masks = [mask_of(config.window_of(layer)) for layer in range(config.layers)]
        self.scale = config.scale
        self.capacity = capacity
        table = None
        if layout.paged and pages is not None:
            table = torch.zeros(batch, layout.pages_for(capacity), dtype=torch.int32)

        def allocate() -> KVCache:
            return KVCache.allocate(
                layout,
                format,
                batch=batch,
                kv_heads=config.kv_heads,
                head_dim=config.head_dim,
                dtype=dtype,
                capacity=capacity,
                device=device,
                table=table,
                pages=pages,
                used=None if table is None else [0] * batch,
            )

        first = allocate()
        self.lengths, self.table = first.lengths, first.table
        others = [replace(allocate(), lengths=self.lengths, table=self.table) for _ in range(config.layers - 1)]
        self.layers = [first, *others]
        _clear(self.layers)
        self._plans: dict[tuple[int, tuple[int, ...]], AttentionPlan] = {}
        self._kernels: dict[tuple[Mask, int, int, int], Kernel] = {}

    @property
    def nbytes(self) -> int:
        """Of all layers; the block table and the lengths once."""
        shared = self.lengths.nbytes + (0 if self.table is None else self.table.nbytes)
        return sum(cache.nbytes - shared for cache in self.layers) + shared

    def set_lengths(self, lengths: Sequence[int]) -> None:
        """Sequences are so long now; what lies behind is forgotten."""
        self.lengths.copy_(torch.tensor(lengths, dtype=torch.int32))

    def view(self, block_tables: Sequence[Sequence[int]], lengths: Sequence[int]) -> KVCaches:
        """The same pool as some sequences see it, for one pass: their pages, and how long they are after it."""
        assert self.table is not None
        device, width = self.lengths.device, self.table.shape[1]
        rows = [[*pages, *[0] * (width - len(pages))] for pages in block_tables]
        view = copy.copy(self)
        view.table = torch.tensor(rows, dtype=torch.int32, device=device)
        view.lengths = torch.tensor(lengths, dtype=torch.int32, device=device)
        view.layers = [replace(cache, lengths=view.lengths, table=view.table) for cache in self.layers]
        view._plans, view._kernels = {}, {}  # lengths hardly ever come again
        return view

    def attend_prompt(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store the first tokens of empty caches, [B, S, H, D], and attend among them -> [B, S, Hq, D].

        Of one prompt that all sequences share, B is 1.
        """
        cache = self.layers[layer]
        _store_prompt(cache, k, v)
        return self._attend_causally(self.masks[layer], q, k, v)

    def attend_chunk(self, starts: Tensor, length: int, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store tokens [B, S, H, D] at `starts` and attend over all, `length` a sequence -> [B, S, Hq, D].

        Keys and values are read back as they are stored, the new ones too, so that a token sees the same ones however
        its text is cut into chunks.
        """
        cache = self.layers[layer]
        cache.write(k.transpose(1, 2), v.transpose(1, 2), starts)
        keys, values = (x.to(self.dtype).transpose(1, 2) for x in cache.read(length=length))
        return self._attend_causally(self.masks[layer], q, keys, values)

    def _attend_causally(self, mask: Mask, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of the last S tokens over all T: q [B, S, Hq, D], k and v [B, T, Hkv, D]."""
        batch, new, total = len(q), q.shape[1], k.shape[1]
        key = mask, batch, new, total
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        inputs = AttentionInputs(q, k, v, mask, None, self.scale)
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
            )
            self._kernels[key] = self._attention_kernel("prompt_attention", case, inputs)
        out: Tensor = self._kernels[key](inputs)
        return out.transpose(1, 2)

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

    def _make_plan(self, new: int, lengths: tuple[int, ...]) -> AttentionPlan:
        config, batch, device = self.config, len(lengths), self.lengths.device
        cache = replace(self.layers[0], lengths=torch.tensor(lengths, dtype=torch.int32, device=device))
        starts = cache.lengths - new
        axes: dict[str, Any] = {
            "batch": batch,
            "q_heads": config.q_heads,
            "kv_heads": config.kv_heads,
            "q_len": new,
            "context": lengths[0] if len(set(lengths)) == 1 else "+".join(map(str, lengths)),
            "head_dim": config.head_dim,
            "dtype": self._dtype_name,
            "layout": self.layout.name,
            "cache": self.format.name,
        }
        q, k = (
            torch.zeros(batch, heads, new, config.head_dim, dtype=self.dtype, device=device)
            for heads in (config.q_heads, config.kv_heads)
        )
        append = self.parts.kernel("append", AppendCase(**axes), AppendInputs(k, k, cache, starts))
        attend = {}
        for mask in dict.fromkeys(self.masks):
            inputs = DecodeInputs(q, cache, mask, self.scale)
            attend[mask] = self._attention_kernel("attention", DecodeCase(**axes, mask=mask), inputs)
        return AttentionPlan(starts, append, attend)

    def _attention_kernel(self, part: str, case: Any, inputs: Any) -> Kernel:
        """The part of the decoder that attends, set up for a case."""
        cap = self.config.score_softcap
        if cap is None:
            return self.parts.kernel(part, case, inputs)
        return soft_cap.kernel(self.parts.implementation(part), case, inputs, cap)

    def attend(self, plan: AttentionPlan, starts: Tensor, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store new tokens [B, S, H, D] at `starts`, attend over all -> [B, S, Hq, D]; lengths count the new ones."""
        cache = self.layers[layer]
        plan.append(AppendInputs(k.transpose(1, 2), v.transpose(1, 2), cache, starts))
        mask = self.masks[layer]
        out: Tensor = plan.attend[mask](DecodeInputs(q.transpose(1, 2), cache, mask, self.scale))
        return out.transpose(1, 2)

    def copy_tokens(self, sources: Sequence[int], targets: Sequence[int], start: int, stop: int) -> None:
        """What sequences `sources` hold from position `start` to `stop` goes to `targets`, none of them a source."""
        device = self.lengths.device
        origin, goal = (torch.tensor(rows, device=device) for rows in (sources, targets))
        for cache in self.layers:
            first = start // cache.format.group * cache.format.group
            positions = torch.arange(first, stop, device=device).expand(len(origin), -1)
            (page, place), (goal_page, goal_place) = cache.locate(positions, origin), cache.locate(positions, goal)
            for name, plane in cache.growing().items():
                if name == "recent":
                    plane[goal] = plane[origin]
                    continue
                tokens = cache.page_tokens // plane.shape[1]  # that share a row
                rows = plane[page[:, ::tokens], place[:, ::tokens] // tokens]
                plane[goal_page[:, ::tokens], goal_place[:, ::tokens] // tokens] = rows

    @property
    def _dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def _store_prompt(cache: KVCache, k: Tensor, v: Tensor) -> None:
    """Store tokens k, v [B or 1, S, Hkv, D] from position 0 on; scales that are set once are set from them."""
    k, v = (x.expand(cache.batch, -1, -1, -1) for x in (k, v))
    if cache.format.name == "same" and not cache.layout.paged:
        for side, x in ((cache.keys, k), (cache.values, v)):
            side.planes["data"][:, : x.shape[1]].copy_(x)
        return
    heads_first = k.transpose(1, 2), v.transpose(1, 2)
    counts = torch.full_like(cache.lengths, k.shape[1])
    cache.calibrate(*heads_first, counts)
    cache.write(*heads_first, torch.zeros_like(counts))


def _clear(caches: Sequence[KVCache]) -> None:
    """Zeros in every plane: what lies behind a sequence's end is read with the weight 0, which keeps a NaN a NaN."""
    for cache in caches:
        for _, side in cache.sides:
            for plane in side.planes.values():
                plane.zero_()
