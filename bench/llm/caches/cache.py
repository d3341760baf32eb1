"""A key-value cache: the planes of keys and values in pages, the block table, and the lengths of its sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import DrawMix, guard
from attnlab.bench.errors import CacheError, GuardViolation, ImpossibleCase
from attnlab.bench.llm.caches.coding import Codec, Format, Planes, PlaneSpec, read_tokens, stored_in
from attnlab.bench.llm.caches.layout import HSD, Layout
from attnlab.bench.llm.caches.tables import check_table

GUARD_BYTES = 256
GUARD_VALUE = 0xA5
RECENT_GROUPS = 2  # of tokens kept in full precision where tokens are encoded in groups


@dataclass(frozen=True)
class Side:
    """The planes of keys or of values.

    A growing plane is [pages, rows, Hkv, width] whatever its order in memory, a row being a token or a group of them;
    a fixed one is [Hkv, width] or [1, width].
    """

    codec: Codec
    specs: tuple[PlaneSpec, ...]
    planes: dict[str, Tensor]

    @property
    def fixed(self) -> Planes:
        return {spec.name: self.planes[spec.name] for spec in self.specs if not spec.grows}

    def rows_of(self, spec: PlaneSpec) -> int:
        """Tokens for each row of a growing plane."""
        return spec.tokens_a_row(self.codec.group)


@dataclass(frozen=True)
class Guards:
    """Regions before and behind each plane that nothing may write to."""

    regions: dict[str, Tensor] = guard(default_factory=dict)

    def violated(self) -> str | None:
        """The first region that was written to, and where; None where all are whole."""
        for name, region in self.regions.items():
            wrong = (region != GUARD_VALUE).nonzero()
            if len(wrong):
                return f"{len(wrong)} of {len(region)} bytes {name} were written to, the first at {int(wrong[0])}"
        return None


@dataclass(frozen=True)
class KVCache:
    """Keys and values of some sequences in one layout and one format.

    keys, values: planes, see `Side`. table: int32 [B, pages a sequence], the page of each stretch of tokens, for paged
    layouts; sequence b has page b in the others. lengths: int32 [B], the tokens of each sequence so far. capacity:
    tokens that a sequence may have. recent: [B, 2 · group, Hkv, D] in the case's dtype, the last keys as they came,
    where keys are encoded in groups: those of a group that is not yet full are encoded again at each append.
    v_head_dim: numbers of a value; in a latent layout the first so many of its key.
    """

    layout: Layout
    format: Format
    capacity: int
    keys: Side
    values: Side
    table: Tensor | None
    lengths: Tensor
    recent: Tensor | None
    guards: Guards
    v_head_dim: int

    @classmethod
    def allocate(
        cls,
        layout: Layout,
        format: Format,
        *,
        batch: int,
        kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        capacity: int,
        device: torch.device,
        table: Tensor | None = None,
        pages: int | None = None,
        used: Sequence[int] | None = None,
        shared_pages: int = 0,
        guarded: bool = False,
        v_head_dim: int | None = None,
    ) -> KVCache:
        """An empty cache; memory is left as it comes.

        capacity: tokens a sequence may have at most, rounded up to a whole group. table, for a paged layout: which
        of `pages` pages each sequence has, int32 [B, N]; one after another where left out. used: how many of its
        entries each sequence needs, all where left out; what stands behind is looked at by nobody. shared_pages: how
        many leading pages sequences may have in common. guarded: surround each plane with regions whose bytes are
        looked at by `check_guards`. v_head_dim: head size of values, the keys' where left out. Raises CacheError or
        ImpossibleCase where these do not fit.
        """
        v_head_dim = v_head_dim or head_dim
        reason = check_fit(layout, format, head_dim, v_head_dim, kv_heads)
        if reason is not None:
            raise ImpossibleCase(reason)
        format = stored_in(layout, format)
        capacity = -(-capacity // format.group) * format.group
        a_sequence = layout.pages_for(capacity)
        if layout.paged:
            given = _ordered(batch, a_sequence) if table is None else table
            pages = batch * a_sequence if pages is None else pages
            check_table(given, pages, batch, shared_pages, used)
            table = given.to(device)
            capacity = given.shape[1] * layout.tokens_a_page(capacity)
        elif table is not None:
            raise CacheError(f"got a block table for layout {layout.name}; expected none: only paged layouts have one")
        guards = Guards()
        make = _Maker(layout, layout.tokens_a_page(capacity), pages or batch, kv_heads, device, guards, guarded)
        return cls(
            layout,
            format,
            capacity,
            make.side("keys", format.keys, head_dim, dtype),
            make.side("values", format.values, v_head_dim, dtype),
            table,
            torch.zeros(batch, dtype=torch.int32, device=device),
            _recent(format, batch, kv_heads, head_dim, dtype, device),
            guards,
            v_head_dim,
        )

    @property
    def page_tokens(self) -> int:
        return self.layout.tokens_a_page(self.capacity)

    @property
    def sides(self) -> tuple[tuple[str, Side], ...]:
        """Keys and values by their names."""
        return ("keys", self.keys), ("values", self.values)

    @property
    def batch(self) -> int:
        return self.lengths.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of every plane and of the block table, used or not."""
        planes = [*self.keys.planes.values(), *self.values.planes.values()]
        others = [t for t in (self.table, self.recent) if t is not None]
        return sum(t.numel() * t.element_size() for t in (*planes, *others, self.lengths))

    def append(self, k: Tensor, v: Tensor) -> None:
        """Store new tokens k [B, Hkv, T, D], v [B, Hkv, T, Dv] behind each sequence's; the first calibrate the scales.

        In a latent layout v has to be the first Dv numbers of k, and only k is stored. Raises CacheError where they do
        not fit, before anything is written.
        """
        check_append(self, k, v)
        if not bool(self.lengths.any()):
            self.calibrate(k, v, torch.full_like(self.lengths, k.shape[2]))
        self.write(k, v, self.lengths)
        self.lengths.add_(k.shape[2])

    def calibrate(self, k: Tensor, v: Tensor, counts: Tensor) -> None:
        """Set the planes that do not grow from tokens [B, Hkv, T, D], the first counts [B] of each sequence."""
        valid = torch.arange(k.shape[2], device=k.device) < counts[:, None]
        for side, x in ((self.keys, k), (self.values, v)):
            for name, plane in side.codec.calibrate(_token_major(x), valid).items():
                side.planes[name].copy_(plane)

    def write(self, k: Tensor, v: Tensor, starts: Tensor, counts: Tensor | None = None) -> None:
        """Store k, v [B, Hkv, T, D] at positions starts[b] on; of the sequence b only the first counts[b].

        Neither lengths nor what lies elsewhere change. Positions must fit: see `append` for the check.
        """
        for side, x in ((self.keys, k), (self.values, v)):
            recent = self.recent if side.codec.group > 1 else None
            _write_side(self, side, _token_major(x), starts.long(), counts, recent)

    def write_everywhere(self, k: Tensor, v: Tensor) -> None:
        """Put one token a sequence, k and v [B, Hkv, 1, D], in every place of the pages, those of nobody included."""
        for side, x in ((self.keys, k), (self.values, v)):
            tokens = _token_major(x).expand(-1, side.codec.group, -1, -1)
            encoded = side.codec.encode(
                tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device), side.fixed
            )
            for spec, plane in _growing(side):
                row = _raw(encoded[spec.name].to(plane.dtype))[:, :1]
                page = torch.arange(plane.shape[0], device=row.device) % self.batch
                _raw(plane).copy_(row[page])

    def read(self, sequences: slice = slice(None), length: int | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values of some sequences as they were stored, decoded to float32 [b, Hkv, S, D] and [b, Hkv, S, Dv].

        S is the longest length among them, or `length`, which need not be read from the device. Behind the end of a
        sequence stands whatever its pages hold; a ring holds its last tokens only.
        """
        length = int(self.lengths[sequences].max()) if length is None else length
        rows = torch.arange(self.batch, device=self.lengths.device)[sequences]
        positions = torch.arange(length, device=rows.device).expand(len(rows), -1)
        page, place = self.locate(positions, rows)
        k = _read_side(self.keys, page, place)
        return k, k[..., : self.v_head_dim] if self.layout.latent else _read_side(self.values, page, place)

    def locate(self, positions: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """The page, and the place within it, of tokens at positions [b, T] of sequences [b]; two of [b, T], int64."""
        place = self.layout.place(positions.long())
        sequence = sequences[:, None].expand_as(place)
        if self.table is None:
            return sequence, place
        return self.table[sequence, place // self.page_tokens].long(), place % self.page_tokens

    def growing(self) -> dict[str, Tensor]:
        """The planes that grow, by side and name, [pages, rows, Hkv, width], 8-bit floats as bytes; `recent` too."""
        found = {f"{name}.{spec.name}": _raw(plane) for name, side in self.sides for spec, plane in _growing(side)}
        return found if self.recent is None else {**found, "recent": self.recent}

    def mixed(self) -> dict[str, DrawMix]:
        """How its planes may be put together of two caches of one shape, so that each token is whole.

        By tokens, or groups of tokens; where scales are those of a head, by heads; not at all where they are of a side.
        """
        growing = [(name, spec, plane) for name, side in self.sides for spec, plane in _growing(side)]
        fixed = [(name, spec) for name, side in self.sides for spec in side.specs if not spec.grows]
        if any(spec.each == "side" for _, spec in fixed):
            return {}
        if fixed:
            by_head = {f"{name}.planes.{spec.name}": DrawMix((2,)) for name, spec, _ in growing}
            return {**by_head, **{f"{name}.planes.{spec.name}": DrawMix((0,)) for name, spec in fixed}}
        rows = min(plane.shape[1] for _, _, plane in growing)
        return {f"{name}.planes.{spec.name}": DrawMix((0, 1), plane.shape[1] // rows) for name, spec, plane in growing}

    def fixed(self) -> dict[str, Tensor]:
        """The planes that do not grow, by side and name."""
        return {f"{name}.{key}": plane for name, side in self.sides for key, plane in side.fixed.items()}

    def rows_written(self, starts: Tensor, tokens: int) -> dict[str, Tensor]:
        """Which rows of each side's growing planes change where tokens are stored from starts [B] on: [pages, rows]."""
        sequences = torch.arange(self.batch, device=starts.device)
        touched = {}
        for name, side in self.sides:
            group = side.codec.group
            first = starts.long() // group * group  # a group that goes on is encoded anew
            positions = first[:, None] + torch.arange(tokens + group - 1, device=starts.device)
            page, place = self.locate(torch.minimum(positions, starts.long()[:, None] + tokens - 1), sequences)
            for spec, plane in _growing(side):
                mark = torch.zeros(plane.shape[:2], dtype=torch.bool, device=starts.device)
                mark[page, place // side.rows_of(spec)] = True
                touched[f"{name}.{spec.name}"] = mark
        return touched

    def copy(self) -> KVCache:
        """The same cache with memory of its own, unguarded."""

        def sides(side: Side) -> Side:
            return replace(side, planes={name: plane.clone() for name, plane in side.planes.items()})

        recent = None if self.recent is None else self.recent.clone()
        return replace(
            self,
            keys=sides(self.keys),
            values=sides(self.values),
            lengths=self.lengths.clone(),
            recent=recent,
            guards=Guards(),
        )

    def check_guards(self) -> None:
        """Raise GuardViolation where something wrote outside the planes of a guarded cache."""
        reason = self.guards.violated()
        if reason is not None:
            raise GuardViolation(f"a write outside the cache: {reason}")


def check_fit(
    layout: Layout, format: Format, head_dim: int, v_head_dim: int | None = None, kv_heads: int = 1
) -> str | None:
    """Why a format cannot be stored in a layout, or with such heads; None where it can."""
    v_head_dim = v_head_dim or head_dim
    if layout.latent and (kv_heads != 1 or v_head_dim > head_dim or format.name != "same"):
        return (
            f"got {layout.name} with {kv_heads} key-value heads, keys of {head_dim}, values of {v_head_dim} numbers, "
            f"cache {format.name}; expected one head, values that are the first numbers of keys, and cache same"
        )
    for codec, size in ((format.keys, head_dim), (format.values, v_head_dim)):
        reason = codec.refuses(size)
        if reason is not None:
            return reason
    if layout.page_tokens is not None and layout.page_tokens % format.group:
        return (
            f"got {layout.name} with cache {format.name}, which encodes {format.group} neighbouring tokens together; "
            f"expected a size that is a multiple of {format.group}"
        )
    return None


def check_append(cache: KVCache, k: Tensor, v: Tensor) -> None:
    """Raise CacheError unless tokens k [B, Hkv, T, D], v [B, Hkv, T, Dv] fit behind those of each sequence."""
    heads = next(plane for spec, plane in _growing(cache.keys)).shape[2]
    like = (*k.shape[:3], cache.v_head_dim)
    if v.shape != like or k.dim() != 4 or k.shape[0] != cache.batch or k.shape[1] != heads:
        raise CacheError(
            f"got keys {list(k.shape)} and values {list(v.shape)}; expected both [{cache.batch}, {heads}, T, D], "
            f"the cache's batch and key-value heads, and {cache.v_head_dim} numbers a value"
        )
    needed = int(cache.lengths.max()) + k.shape[2]
    if not cache.layout.wraps and needed > cache.capacity:
        raise CacheError(
            f"got {k.shape[2]} tokens to append, {needed} in all; expected at most {cache.capacity}, the cache's "
            f"capacity: allocate a larger one"
        )


def _growing(side: Side) -> list[tuple[PlaneSpec, Tensor]]:
    return [(spec, side.planes[spec.name]) for spec in side.specs if spec.grows]


def _raw(plane: Tensor) -> Tensor:
    """A plane of 8-bit floats as bytes, which can be indexed; any other as it is."""
    return plane.view(torch.uint8) if plane.is_floating_point() and plane.element_size() == 1 else plane


def _token_major(x: Tensor) -> Tensor:
    """[B, Hkv, T, D] -> [B, T, Hkv, D] in float32."""
    return x.transpose(1, 2).float()


def _ordered(batch: int, pages: int) -> Tensor:
    return torch.arange(batch * pages, dtype=torch.int32).view(batch, pages)


def _recent(
    format: Format, batch: int, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    if format.keys.group == 1:
        return None
    return torch.zeros(batch, RECENT_GROUPS * format.keys.group, kv_heads, head_dim, dtype=dtype, device=device)


@dataclass
class _Maker:
    """Allocates the planes of one cache."""

    layout: Layout
    page_tokens: int
    pages: int
    kv_heads: int
    device: torch.device
    guards: Guards
    guarded: bool

    def side(self, name: str, codec: Codec, head_dim: int, dtype: torch.dtype) -> Side:
        specs = codec.planes(head_dim, dtype)
        return Side(codec, specs, {spec.name: self._plane(f"{name}.{spec.name}", spec, codec.group) for spec in specs})

    def _plane(self, name: str, spec: PlaneSpec, group: int) -> Tensor:
        if not spec.grows:
            return self._memory(name, (self.kv_heads if spec.each == "head" else 1, spec.width), spec.dtype)
        rows = self.page_tokens // spec.tokens_a_row(group)
        if self.layout.order == HSD:
            return self._memory(name, (self.pages, self.kv_heads, rows, spec.width), spec.dtype).transpose(1, 2)
        return self._memory(name, (self.pages, rows, self.kv_heads, spec.width), spec.dtype)

    def _memory(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if not self.guarded:
            return torch.empty(shape, dtype=dtype, device=self.device)
        size = torch.Size(shape).numel() * dtype.itemsize
        whole = torch.full((size + 2 * GUARD_BYTES,), GUARD_VALUE, dtype=torch.uint8, device=self.device)
        self.guards.regions[f"before {name}"] = whole[:GUARD_BYTES]
        self.guards.regions[f"behind {name}"] = whole[GUARD_BYTES + size :]
        return whole[GUARD_BYTES : GUARD_BYTES + size].view(dtype).view(shape)


def _write_side(
    cache: KVCache, side: Side, x: Tensor, starts: Tensor, counts: Tensor | None, recent: Tensor | None
) -> None:
    """x [B, T, Hkv, D] at positions starts on; whole groups are encoded, with the tokens before from `recent`."""
    if not side.specs:
        return
    group = side.codec.group
    first = starts // group * group  # of the group that the first token is in
    end = starts + (x.shape[1] if counts is None else counts.long())
    groups = -(-(x.shape[1] + group - 1) // group)  # as many as T tokens may touch
    positions = first[:, None] + torch.arange(groups * group, device=x.device)  # [B, N]
    sequences = torch.arange(len(starts), device=x.device)
    valid = positions < end[:, None]
    if cache.layout.wraps:  # of more than the ring holds only the last, by whole groups
        valid &= positions >= ((end + group - 1) // group * group)[:, None] - cache.page_tokens
    tokens = _tokens_at(positions, x, starts, recent)
    encoded = side.codec.encode(tokens, valid, side.fixed)
    newest = None if counts is not None else (end - 1 - first).clamp_min(0)
    for spec, plane in _growing(side):
        rows = side.rows_of(spec)
        page, place = cache.locate(positions[:, ::rows].clamp_max(_last_place(cache)), sequences)
        row = _raw(encoded[spec.name].to(plane.dtype))
        _put(_raw(plane), page, place // rows, row, valid[:, ::rows], None if newest is None else newest // rows)
    if recent is not None:
        kept = valid & (positions >= (end - recent.shape[1])[:, None])
        sequence = sequences[:, None].expand_as(positions)
        _put(recent, sequence, positions % recent.shape[1], tokens.to(recent.dtype), kept, newest)


def _put(plane: Tensor, page: Tensor, row: Tensor, x: Tensor, valid: Tensor, newest: Tensor | None) -> None:
    """plane[page, row] = x, [B, N, …], where valid.

    newest [B]: which of the N is valid for certain; the others are then not left out, whose number would have to be
    known, but write what it writes, where it writes it.
    """
    if newest is None:
        plane[page[valid], row[valid]] = x[valid]
        return
    index = torch.where(valid, torch.arange(valid.shape[1], device=valid.device), newest[:, None])
    sequence = torch.arange(valid.shape[0], device=valid.device)[:, None]
    plane[page[sequence, index], row[sequence, index]] = x[sequence, index]


def _last_place(cache: KVCache) -> int:
    """The largest position that may be looked up; those behind it are of no token."""
    return torch.iinfo(torch.int64).max if cache.layout.wraps else cache.capacity - 1


def _tokens_at(positions: Tensor, x: Tensor, starts: Tensor, recent: Tensor | None) -> Tensor:
    """[B, N, Hkv, D]: new tokens at their positions, those before from `recent`, anything behind the end."""
    index = positions - starts[:, None]
    sequence = torch.arange(len(starts), device=x.device)[:, None].expand_as(index)
    fresh = x[sequence, index.clamp(0, max(x.shape[1] - 1, 0))]
    if recent is None:
        return fresh
    before = recent[sequence, positions % recent.shape[1]].float()
    return torch.where((index < 0)[..., None, None], before, fresh)


def _read_side(side: Side, page: Tensor, place: Tensor) -> Tensor:
    """[b, Hkv, S, D] in float32."""
    planes = {name: _raw(plane) for name, plane in side.planes.items()}
    return read_tokens(side.codec, side.specs, planes, page, place).transpose(1, 2)
