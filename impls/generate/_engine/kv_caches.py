"""The key-value caches of all layers of a model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attnlab.bench import KVCache, ModelConfig
from attnlab.bench.llm import Format, Layout, Side


class KVCaches:
    """One cache a layer, of the same layout, format and block table.

    capacity: tokens that a sequence may have. pages: of the pool, for paged layouts; enough for all where left out.
    lengths: int32 [B] on the device, shared by all layers: tokens that are stored.
    """

    def __init__(
        self,
        config: ModelConfig,
        layout: Layout,
        format: Format,
        dtype: torch.dtype,
        device: torch.device,
        batch: int,
        capacity: int,
        pages: int | None = None,
    ) -> None:
        self.layout, self.format, self.dtype, self.capacity = layout, format, dtype, capacity
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
        self._row_views: dict[tuple[int, int], KVCaches] = {}
        _clear(self.layers)

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
        return view

    def rows(self, first: int, lengths: Sequence[int]) -> KVCaches:
        """The same memory as some sequences that follow each other see it, without pages: from `first` on, as many as
        lengths, which they have after the pass. The next view of as many from there is the same one."""
        key = first, len(lengths)
        if key not in self._row_views:
            self._row_views[key] = self._rows_view(slice(first, first + len(lengths)))
        view = self._row_views[key]
        view.set_lengths(lengths)
        return view

    def _rows_view(self, rows: slice) -> KVCaches:
        view = copy.copy(self)
        view.lengths = self.lengths[rows].clone()

        def cut(side: Side) -> Side:
            grows = {spec.name for spec in side.specs if spec.grows}
            return replace(side, planes={n: plane[rows] if n in grows else plane for n, plane in side.planes.items()})

        view.layers = [
            replace(cache, keys=cut(cache.keys), values=cut(cache.values), lengths=view.lengths)
            for cache in self.layers
        ]
        return view

    def store_prompt(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Store tokens k, v [B or 1, S, Hkv, D] from position 0 on; scales that are set once are set from them."""
        cache = self.layers[layer]
        k, v = (x.expand(cache.batch, -1, -1, -1) for x in (k, v))
        if cache.format.name == "same" and not cache.layout.paged:
            for side, x in ((cache.keys, k), (cache.values, v)):
                side.planes["data"][:, : x.shape[1]].copy_(x)
            return
        heads_first = k.transpose(1, 2), v.transpose(1, 2)
        counts = torch.full_like(cache.lengths, k.shape[1])
        cache.calibrate(*heads_first, counts)
        cache.write(*heads_first, torch.zeros_like(counts))

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


def _clear(caches: Sequence[KVCache]) -> None:
    """Zeros in every plane: what lies behind a sequence's end is read with the weight 0, which keeps a NaN a NaN."""
    for cache in caches:
        for _, side in cache.sides:
            for plane in side.planes.values():
                plane.zero_()
