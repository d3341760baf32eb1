"""The kernels of sampling that go over a row chunk by chunk: what was seen, largest and mass, candidates."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from attnlab.kernels.triton.sampling_tiles import (
    ABOVE,
    COUNT,
    KEPT,
    LARGEST,
    LEAST,
    SUM,
    Planes,
    load_logits,
    masses,
    order,
    plane,
    weight,
)


class Search(NamedTuple):
    """Buffers of the search for top-p's threshold: bounds [turns + 1, B, 2], and what lies above points between them.

    partials: [turns, B, chunks, parts].
    """

    bounds: Any
    partials: Any


@triton.jit(do_not_specialize=["words", "history", "seen_stride"])
def mark_seen(
    seen: tl.tensor,
    seen_stride: tl.tensor,
    bits: tl.tensor,
    words: tl.tensor,
    vocab: tl.tensor,
    history: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """One program a row: a bit [B, words] of int32 for each token, set where it is among seen [B, L]."""
    row = tl.cast(tl.program_id(0), tl.int64)
    lane = tl.arange(0, BLOCK)
    for start in range(0, words, BLOCK):
        tl.store(bits + row * words + start + lane, tl.zeros_like(lane), mask=start + lane < words)
    tl.debug_barrier()
    for start in range(0, history, BLOCK):
        token = tl.load(seen + row * seen_stride + start + lane, mask=start + lane < history, other=-1)
        bit = tl.full([BLOCK], 1, tl.int32) << (token % 32).to(tl.int32)
        tl.atomic_or(bits + row * words + token // 32, bit, mask=(token >= 0) & (token < vocab), sem="relaxed")


@triton.jit(do_not_specialize=["words", "size", "blocks"])
def survey(
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    scale: tl.tensor,
    stats: tl.tensor,
    size: tl.tensor,
    peaks: tl.tensor,
    blocks: tl.tensor,
    KIND: tl.constexpr,
    PENALISED: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The first pass: a chunk's largest logit, and where it is (greedy), its mass, or that of each BLOCK (rank)."""
    row, chunk = tl.program_id(0), tl.program_id(1)
    token = chunk * CHUNK + tl.arange(0, CHUNK)
    x = load_logits(logits, words, penalty, row, token, PENALISED)
    largest = tl.max(x, 0)
    out = stats + tl.cast(row, tl.int64) * tl.num_programs(1) + chunk
    tl.store(out + LARGEST * size, largest)
    if KIND == "greedy":
        place = tl.min(tl.where(x == largest, token, logits.vocab - 1), 0)  # the vocabulary's last where all are NaN
        tl.store(out + SUM * size, place.to(tl.float32, bitcast=True))
    elif KIND == "rank":
        block = chunk * (CHUNK // BLOCK) + tl.arange(0, CHUNK // BLOCK)
        each = tl.max(tl.reshape(x, [CHUNK // BLOCK, BLOCK]), 1)
        tl.store(peaks + tl.cast(row, tl.int64) * blocks + block, each, mask=block < blocks)
    else:
        above = tl.where(largest > float("-inf"), largest, 0.0)
        tl.store(out + SUM * size, tl.sum(weight((x - above) * scale), 0))


@triton.jit
def interval(
    planes: tl.tuple,
    row: tl.tensor,
    scale: tl.tensor,
    truncation: tl.tuple,
    search: tl.tuple,
    turn: tl.tensor,
    FIRST: tl.constexpr,
    PARTS: tl.constexpr,
    CHUNKS: tl.constexpr,
) -> tl.tuple:
    """(largest, low, high) of a row: the least exponent that top-p keeps lies above `low` and at or below `high`.

    First from the mass: tokens with less than a share `tail` of it, (1 - top_p) / 2V, are cut off. Then from the turn
    before: the part of its interval in which the mass above falls below top_p.
    """
    largest, mass = masses(planes, row, scale, CHUNKS)
    total = tl.sum(mass, 0)
    if FIRST:
        low, high = tl.log2(total * truncation.tail), total * 0.0
    else:
        before = search.bounds + ((turn - 1) * (planes.size // planes.chunks) + tl.cast(row, tl.int64)) * 2
        low, high = tl.load(before), tl.load(before + 1)
        chunk = tl.arange(0, CHUNKS)[:, None]
        part = tl.arange(0, PARTS)[None, :]
        first = (turn - 1) * planes.size + tl.cast(row, tl.int64) * planes.chunks
        at = search.partials + (first + chunk) * PARTS + part
        above = tl.sum(tl.load(at, mask=chunk < planes.chunks, other=0.0), 0)[None, :]
        reached = tl.sum(tl.sum(((above >= truncation.top_p * total) & (part > 0)).to(tl.int32), 1), 0)
        step = (high - low) / PARTS
        high = tl.where(reached == PARTS - 1, high, low + step * (reached + 1))
        low = tl.where(reached == 0, low, low + step * reached)
    return largest, low, high


@triton.jit(do_not_specialize=["words", "size", "turn"])
def narrow(
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    scale: tl.tensor,
    stats: tl.tensor,
    size: tl.tensor,
    truncation: tl.tuple,
    search: tl.tuple,
    turn: tl.tensor,
    FIRST: tl.constexpr,
    PARTS: tl.constexpr,
    PENALISED: tl.constexpr,
    CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
) -> None:
    """A turn of the search for top-p's threshold: a chunk's mass above each of PARTS points of the interval."""
    row, chunk = tl.program_id(0), tl.program_id(1)
    planes = Planes(stats, size, tl.num_programs(1))
    largest, low, high = interval(planes, row, scale, truncation, search, turn, FIRST, PARTS, CHUNKS)
    if chunk == 0:
        now = search.bounds + (turn * (size // planes.chunks) + tl.cast(row, tl.int64)) * 2
        tl.store(now, low)
        tl.store(now + 1, high)
    token = chunk * CHUNK + tl.arange(0, CHUNK)
    x = load_logits(logits, words, penalty, row, token, PENALISED)
    exponent = ((x - largest) * scale)[None, :]
    part = tl.arange(0, PARTS)
    point = (low + (high - low) / PARTS * part)[:, None]
    above = tl.sum(tl.where(exponent > point, weight(exponent), 0.0), 1)
    first = turn * size + tl.cast(row, tl.int64) * planes.chunks
    tl.store(search.partials + (first + chunk) * PARTS + part, above)


@triton.jit(do_not_specialize=["words", "size", "turns"])
def collect(
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    scale: tl.tensor,
    stats: tl.tensor,
    size: tl.tensor,
    truncation: tl.tuple,
    search: tl.tuple,
    turns: tl.tensor,
    thresholds: tl.tensor,
    candidates: tl.tensor,
    KIND: tl.constexpr,
    PARTS: tl.constexpr,
    PENALISED: tl.constexpr,
    CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
) -> None:
    """The last pass: a chunk's candidates, logits one after another, and its mass above them.

    By rank: all at or above the row's bound. By mass: those in the interval. By size: none, what is kept is known.
    """
    row, chunk = tl.program_id(0), tl.program_id(1)
    planes = Planes(stats, size, tl.num_programs(1))
    place = tl.arange(0, CHUNK)
    x = load_logits(logits, words, penalty, row, chunk * CHUNK + place, PENALISED)
    out = stats + tl.cast(row, tl.int64) * planes.chunks + chunk
    if KIND == "rank":
        candidate = order(x) >= tl.load(thresholds + row)
    else:
        if KIND == "mass":
            largest, low, high = interval(planes, row, scale, truncation, search, turns, False, PARTS, CHUNKS)
            exponent = (x - largest) * scale
            above = exponent > high
            candidate = (exponent > low) & (exponent <= high)
            tl.store(out + ABOVE * size, tl.sum(tl.where(above, weight(exponent), 0.0), 0))
            tl.store(out + LEAST * size, tl.min(tl.where(above, x, float("inf")), 0))
        else:
            largest = tl.max(plane(planes, row, float("-inf"), LARGEST, CHUNKS), 0)
            exponent = (x - largest) * scale
            above = exponent >= truncation.least_exponent
        kept = above & (exponent >= truncation.least_exponent)
        tl.store(out + KEPT * size, tl.sum(tl.where(kept, weight(exponent), 0.0), 0))
    if KIND != "size":
        slot = tl.cumsum(candidate.to(tl.int32), 0)
        first = (tl.cast(row, tl.int64) * planes.chunks + chunk) * CHUNK
        tl.store(candidates + first + slot - 1, x, mask=candidate)
        tl.store(out + COUNT * size, tl.max(slot, 0).to(tl.float32))
