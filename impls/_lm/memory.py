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
from attnlab.impls._lm.capped import capped
from attnlab.impls._lm.parts import Parts, Run, find, ready

MOST_PLANS = 4096  # kept at a time: lengths of batches hardly ever come again


@dataclass(frozen=True, eq=False)
class Plan:
    """What a pass over the cache needs beyond its tokens; layers of one mask share it."""

    starts: Tensor  # int32 [B], where the new tokens begin
    append: Run
    attend: Mapping[Mask, Run]


class Memory:
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
        table = None
        if layout.paged and pages is not None:
            table = torch.zeros(batch, layout.pages_for(capacity), dtype=torch.int32)

        def allocate() -> KVCache:
            return KVCache.allocate(
                layout, format, batch=batch, kv_heads=config.kv_heads, head_dim=config.head_dim, dtype=dtype,
                capacity=capacity, device=device, table=table, pages=pages, used=None if table is None else [0] * batch,
            )  # fmt: skip

        first = allocate()
        self.lengths, self.table = first.lengths, first.table
        others = [replace(allocate(), lengths=self.lengths, table=self.table) for _ in range(config.layers - 1)]
        self.caches = [first, *others]
        _blank(self.caches)
        self._plans: dict[tuple[int, tuple[int, ...]], Plan] = {}
        self._prompts: dict[tuple[Mask, int, int, int], Run] = {}

    @property
    def nbytes(self) -> int:
        """Of all layers; the block table and the lengths once."""
        shared = self.lengths.nbytes + (0 if self.table is None else self.table.nbytes)
        return sum(cache.nbytes - shared for cache in self.caches) + shared

    def set_lengths(self, lengths: Sequence[int]) -> None:
        """Sequences are so long now; what lies behind is forgotten."""
        self.lengths.copy_(torch.tensor(lengths, dtype=torch.int32))

    def view(self, pages: Sequence[Sequence[int]], lengths: Sequence[int]) -> Memory:
        """The same pool as some sequences see it, for one pass: their pages, and how long they are after it."""
        assert self.table is not None
        device, width = self.lengths.device, self.table.shape[1]
        table = torch.tensor([[*row, *[0] * (width - len(row))] for row in pages], dtype=torch.int32, device=device)
        made = copy.copy(self)
        made.lengths, made.table = torch.tensor(lengths, dtype=torch.int32, device=device), table
        made.caches = [replace(cache, lengths=made.lengths, table=table) for cache in self.caches]
        made._plans, made._prompts = {}, {}  # lengths hardly ever come again
        return made

    def attend_prompt(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store the first tokens of empty caches, [B, S, H, D], and attend among them -> [B, S, Hq, D].

        Of one prompt that all sequences share, B is 1.
        """
        cache = self.caches[layer]
        _store_first(cache, k, v)
        return self._attention(self.masks[layer], q, k, v)

    def attend_chunk(self, starts: Tensor, length: int, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store tokens [B, S, H, D] at `starts` and attend over all, `length` a sequence -> [B, S, Hq, D].

        Keys and values are read back as they are stored, the new ones too, so that a token sees the same ones however
        its text is cut into chunks.
        """
        cache = self.caches[layer]
        cache.write(k.transpose(1, 2), v.transpose(1, 2), starts)
        keys, values = (x.to(self.dtype).transpose(1, 2) for x in cache.read(length=length))
        return self._attention(self.masks[layer], q, keys, values)

    def _attention(self, mask: Mask, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of the last S tokens over all T: q [B, S, Hq, D], k and v [B, T, Hkv, D]."""
        inputs = AttentionInputs(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask, None, self.scale
        )  # fmt: skip
        key = mask, q.shape[0], q.shape[1], k.shape[1]
        if key not in self._prompts:
            case = AttentionCase(
                batch=q.shape[0], q_heads=self.config.q_heads, kv_heads=self.config.kv_heads, q_len=q.shape[1],
                kv_len=k.shape[1], head_dim=self.config.head_dim, dtype=self._dtype, mask=mask,
            )  # fmt: skip
            self._prompts[key] = self._ready("prompt_attention", case, inputs)
        out: Tensor = self._prompts[key](inputs)
        return out.transpose(1, 2)

    def plan(self, new: int, lengths: Sequence[int]) -> Plan:
        """For passes of `new` tokens a sequence, after which sequences are so long; kept for the next time.

        A kernel may be tried where it is set up: it writes where the pass will.
        """
        key = new, tuple(lengths)
        if key not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[key] = self._planned(new, key[1])
        return self._plans[key]

    def _planned(self, new: int, lengths: tuple[int, ...]) -> Plan:
        batch, device = len(lengths), self.lengths.device
        cache = replace(self.caches[0], lengths=torch.tensor(lengths, dtype=torch.int32, device=device))
        starts = cache.lengths - new
        shared: dict[str, Any] = {
            "batch": batch, "q_heads": self.config.q_heads, "kv_heads": self.config.kv_heads, "q_len": new,
            "context": lengths[0] if len(set(lengths)) == 1 else "+".join(map(str, lengths)),
            "head_dim": self.config.head_dim, "dtype": self._dtype, "layout": self.layout.name,
            "cache": self.format.name,
        }  # fmt: skip
        q = torch.zeros(batch, self.config.q_heads, new, self.config.head_dim, dtype=self.dtype, device=device)
        k = torch.zeros(batch, self.config.kv_heads, new, self.config.head_dim, dtype=self.dtype, device=device)
        return Plan(
            starts,
            ready(find("append", self.parts.append), AppendCase(**shared), AppendInputs(k, k, cache, starts)),
            {
                mask: self._ready(
                    "attention", DecodeCase(**shared, mask=mask), DecodeInputs(q, cache, mask, self.scale)
                )
                for mask in dict.fromkeys(self.masks)
            },
        )

    def _ready(self, part: str, case: Any, inputs: Any) -> Run:
        """The part of the decoder that attends, set up for a case."""
        cap = self.config.score_softcap
        made = find(part, getattr(self.parts, part))
        return ready(made, case, inputs) if cap is None else capped(made, case, inputs, cap)

    def attend(self, plan: Plan, starts: Tensor, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store new tokens [B, S, H, D] at `starts`, attend over all -> [B, S, Hq, D]; lengths count the new ones."""
        cache = self.caches[layer]
        plan.append(AppendInputs(k.transpose(1, 2), v.transpose(1, 2), cache, starts))
        mask = self.masks[layer]
        out: Tensor = plan.attend[mask](DecodeInputs(q.transpose(1, 2), cache, mask, self.scale))
        return out.transpose(1, 2)

    def copy_tokens(self, sources: Sequence[int], targets: Sequence[int], start: int, stop: int) -> None:
        """What sequences `sources` hold from position `start` to `stop` goes to `targets`, none of them a source."""
        device = self.lengths.device
        origin, goal = (torch.tensor(rows, device=device) for rows in (sources, targets))
        for cache in self.caches:
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
    def _dtype(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def _store_first(cache: KVCache, k: Tensor, v: Tensor) -> None:
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


def _blank(caches: Sequence[KVCache]) -> None:
    """Zeros in every plane: what lies behind a sequence's end is read with the weight 0, which keeps a NaN a NaN."""
    for cache in caches:
        for _, side in cache.sides:
            for plane in side.planes.values():
                plane.zero_()
