"""Bytes of a cache, counted from the planes that its codecs declare and the pages that its layout uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnlab.bench.llm.caches.coding import Codec, Format, stored_in
from attnlab.bench.llm.caches.layout import Layout

if TYPE_CHECKING:
    import torch

TABLE_ENTRY_BYTES = 4

Ranges = Sequence[tuple[int, int]]


def bytes_of_tokens(
    layout: Layout,
    format: Format,
    ranges: Ranges,
    *,
    kv_heads: int,
    head_dim: int,
    dtype: torch.dtype,
    shared: int = 0,
    v_head_dim: int | None = None,
) -> int:
    """Bytes that must be read for the tokens of some sequences: codes, scales, minima and block-table entries.

    ranges: the first token of each sequence that matters and one past the last. shared: leading tokens that the
    sequences have in common, in the same pages where the layout is paged, and so read once. v_head_dim: of values,
    the keys' where left out.
    """
    stored = stored_in(layout, format)
    sides = (
        side_bytes(layout, codec, ranges, kv_heads=kv_heads, head_dim=size, dtype=dtype, shared=shared)
        for codec, size in ((stored.keys, head_dim), (stored.values, v_head_dim or head_dim))
    )
    return sum(sides) + table_bytes(layout, ranges)


def side_bytes(
    layout: Layout,
    codec: Codec,
    ranges: Ranges,
    *,
    kv_heads: int,
    head_dim: int,
    dtype: torch.dtype,
    shared: int = 0,
) -> int:
    """The same of keys or of values alone, without the block table."""
    total = 0
    for plane in codec.planes(head_dim, dtype):
        rows = _rows(layout, ranges, shared, plane.tokens_a_row(codec.group)) if plane.grows else 1
        total += rows * plane.row_bytes * (1 if plane.each == "side" else kv_heads)
    return total


def table_bytes(layout: Layout, ranges: Ranges) -> int:
    """Of the block-table entries of the pages that hold the tokens; 0 for a layout without a table."""
    if not layout.paged or layout.page_tokens is None:
        return 0
    size = layout.page_tokens
    return TABLE_ENTRY_BYTES * sum(-(-last // size) - first // size for first, last in ranges if first < last)


def _rows(layout: Layout, ranges: Ranges, shared: int, tokens: int) -> int:
    """Distinct rows of so many tokens each that hold the tokens of the ranges."""
    used = [(first, last) for first, last in ranges if first < last]
    if not (layout.paged and shared):
        return sum(-(-last // tokens) - first // tokens for first, last in used)
    common = [(first, min(last, shared)) for first, last in used if first < shared]
    own = [(max(first, shared), last) for first, last in used if last > shared]
    union = [(min(f for f, _ in common), max(last for _, last in common))] if common else []
    return sum(-(-last // tokens) - first // tokens for first, last in (*union, *own))
