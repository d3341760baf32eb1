"""The least logit that top-k and top-p keep of a row: a bound from the largest of blocks, a bisection of candidates."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import triton
import triton.language as tl

from attnlab.kernels.triton.sampling_tiles import (
    ABOVE,
    COUNT,
    KEPT,
    LARGEST,
    LEAST,
    LOWEST,
    NONE,
    masses,
    order,
    plane,
    weight,
)


@dataclass(frozen=True)
class Slabs:
    """How candidates are read, as kernels are compiled for it: `width` of every chunk at once."""

    chunk: int  # room of a chunk
    chunks: int  # of a row, up to a power of two
    width: int
    shift: int  # bits of a key that are the same in all logits


class Candidates(NamedTuple):
    """Of a row: the first slab [CHUNKS, WIDTH], and where all lie.

    base, first: a pointer and the offset of the row. counts: of each chunk [CHUNKS]. most: the largest of these.
    """

    slab: Any
    base: Any
    first: Any
    counts: Any
    most: Any


@triton.jit(do_not_specialize=["blocks", "top_k"])
def bound(
    peaks: tl.tensor,
    blocks: tl.tensor,
    top_k: tl.tensor,
    thresholds: tl.tensor,
    SHIFT: tl.constexpr,
    BLOCKS: tl.constexpr,
) -> None:
    """One program a row: the k-th largest of the blocks' largest logits, as `order` has it.

    k blocks that reach it hold k logits that do. Where fewer blocks are finite, every finite logit is a candidate.
    """
    row = tl.program_id(0)
    block = tl.arange(0, BLOCKS)
    x = tl.load(peaks + tl.cast(row, tl.int64) * blocks + block, mask=block < blocks, other=float("-inf"))
    key = order(x)
    finite = key >= LOWEST
    key = key >> SHIFT
    low = tl.min(tl.where(finite, key, NONE), 0).to(tl.int64)
    high = tl.max(key, 0).to(tl.int64) + 1
    enough = tl.sum(finite.to(tl.int32), 0) >= top_k
    while enough & (high - low > 1):
        middle = (low + high) // 2
        if tl.sum((finite & (key >= middle)).to(tl.int32), 0) >= top_k:
            low = middle
        else:
            high = middle
    tl.store(thresholds + row, tl.where(enough, low << SHIFT, LOWEST).to(tl.int32))


@triton.jit
def load_slab(base: tl.tensor, first: tl.tensor, counts: tl.tensor, start: tl.tensor, SLABS: tl.constexpr) -> tl.tensor:
    """Candidates from `start` on of every chunk, [CHUNKS, WIDTH]; -inf where there is none."""
    slot = start + tl.arange(0, SLABS.width)[None, :]
    at = first + tl.arange(0, SLABS.chunks)[:, None] * SLABS.chunk + slot
    return tl.load(base + at, mask=slot < counts[:, None], other=float("-inf"))


@triton.jit
def tally(
    x: tl.tensor, key: tl.tensor, largest: tl.tensor, scale: tl.tensor, BY_MASS: tl.constexpr, SHIFT: tl.constexpr
) -> tl.tensor:
    """How many of a slab are at or above a key; or, by mass, the weight of those above it."""
    order_of = (order(x) >> SHIFT).to(tl.int64)
    each = (order_of >= key).to(tl.float32)
    if BY_MASS:
        each = tl.where(order_of > key, weight((x - largest) * scale), 0.0)
    return tl.sum(tl.sum(each, 1), 0)


@triton.jit
def add_tallies(
    total: tl.tensor,
    pool: tl.tuple,
    key: tl.tensor,
    largest: tl.tensor,
    scale: tl.tensor,
    BY_MASS: tl.constexpr,
    SLABS: tl.constexpr,
) -> tl.tensor:
    """`total` and the tallies of a row's slabs after the first."""
    start = pool.most * 0 + SLABS.width
    while start < pool.most:
        slab = load_slab(pool.base, pool.first, pool.counts, start, SLABS)
        total += tally(slab, key, largest, scale, BY_MASS, SLABS.shift)
        start += SLABS.width
    return total


@triton.jit
def search(
    pool: tl.tuple,
    low: tl.tensor,
    high: tl.tensor,
    above: tl.tensor,
    wanted: tl.tensor,
    largest: tl.tensor,
    scale: tl.tensor,
    BY_MASS: tl.constexpr,
    SLABS: tl.constexpr,
) -> tl.tuple:
    """Halves [low, high] until they are neighbours: at `low` the tally, with `above`, still reaches what is wanted."""
    while high - low > 1:
        middle = (low + high) // 2
        total = above + tally(pool.slab, middle, largest, scale, BY_MASS, SLABS.shift)
        if add_tallies(total, pool, middle, largest, scale, BY_MASS, SLABS) >= wanted:
            low = middle
        else:
            high = middle
    return low, high


@triton.jit
def kept_mass(
    x: tl.tensor, threshold: tl.tensor, largest: tl.tensor, scale: tl.tensor, least_exponent: tl.tensor
) -> tl.tensor:
    """The weight [CHUNKS] of a slab's candidates that no truncation cuts off."""
    exponent = (x - largest) * scale
    return tl.sum(tl.where((order(x) >= threshold) & (exponent >= least_exponent), weight(exponent), 0.0), 1)


@triton.jit
def smallest(x: tl.tensor, SHIFT: tl.constexpr) -> tl.tensor:
    """The least key of a slab's candidates."""
    return tl.min(tl.min(tl.where(x > float("-inf"), order(x) >> SHIFT, NONE), 1), 0).to(tl.int64)


@triton.jit
def smallest_of_all(pool: tl.tuple, SLABS: tl.constexpr) -> tl.tensor:
    """The least key of a row's candidates."""
    low = smallest(pool.slab, SLABS.shift)
    start = pool.most * 0 + SLABS.width
    while start < pool.most:
        low = tl.minimum(low, smallest(load_slab(pool.base, pool.first, pool.counts, start, SLABS), SLABS.shift))
        start += SLABS.width
    return low


@triton.jit
def key_by_rank(
    pool: tl.tuple,
    low: tl.tensor,
    largest: tl.tensor,
    scale: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    TOP_P: tl.constexpr,
    SLABS: tl.constexpr,
) -> tl.tensor:
    """The least key that top-k keeps of candidates from key `low` on, and then top-p of these."""
    high = (order(largest) >> SLABS.shift).to(tl.int64)
    low, _ = search(pool, low, high + 1, 0.0, top_k.to(tl.float32), largest, scale, False, SLABS)
    if TOP_P:
        total = tally(pool.slab, low - 1, largest, scale, True, SLABS.shift)
        total = add_tallies(total, pool, low - 1, largest, scale, True, SLABS)
        _, low = search(pool, low - 1, high, 0.0, top_p * total, largest, scale, True, SLABS)
    return low


@triton.jit
def threshold_of(
    planes: tl.tuple,
    row: tl.tensor,
    scale: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    least_exponent: tl.tensor,
    candidates: tl.tensor,
    KIND: tl.constexpr,
    TOP_P: tl.constexpr,
    SLABS: tl.constexpr,
) -> tl.tuple:
    """(largest logit, least order that is kept, mass [CHUNKS] that is kept) from a row's candidates."""
    CHUNKS: tl.constexpr = SLABS.chunks
    first = tl.cast(row, tl.int64) * planes.chunks * SLABS.chunk
    counts = plane(planes, row, 0.0, COUNT, CHUNKS).to(tl.int32)
    pool = Candidates(load_slab(candidates, first, counts, 0, SLABS), candidates, first, counts, tl.max(counts, 0))
    low = smallest_of_all(pool, SLABS)
    kept = tl.zeros([CHUNKS], tl.float32)
    if KIND == "rank":
        largest = tl.max(plane(planes, row, float("-inf"), LARGEST, CHUNKS), 0)
        low = key_by_rank(pool, low, largest, scale, top_k, top_p, TOP_P, SLABS)
    else:
        largest, mass = masses(planes, row, scale, CHUNKS)
        above = tl.sum(plane(planes, row, 0.0, ABOVE, CHUNKS), 0)
        least_above = tl.min(plane(planes, row, float("inf"), LEAST, CHUNKS), 0)
        high = (order(tl.minimum(least_above, largest)) >> SLABS.shift).to(tl.int64)
        wanted = top_p * tl.sum(mass, 0)
        _, low = search(pool, tl.minimum(low, high) - 1, high, above, wanted, largest, scale, True, SLABS)
        kept += plane(planes, row, 0.0, KEPT, CHUNKS)

    threshold = (low << SLABS.shift).to(tl.int32)
    kept += kept_mass(pool.slab, threshold, largest, scale, least_exponent)
    start = pool.most * 0 + SLABS.width
    while start < pool.most:
        kept += kept_mass(load_slab(candidates, first, counts, start, SLABS), threshold, largest, scale, least_exponent)
        start += SLABS.width
    return largest, threshold, kept
