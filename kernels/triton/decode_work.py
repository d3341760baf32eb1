"""How decoding is shared out on the device: each sequence is cut into units of bounded work, whose parts are added up.

Lengths are read on the device alone: their sum says how long a unit may be, so that a long sequence beside short ones
has many units, and their prefix sum which sequence a program's unit is of. Units that share a sequence leave their part
and its log-sum-exp, and the one that comes last, by a counter, adds the parts up.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from attnlab.kernels.triton.attention_seen import first_key, key_end
from attnlab.kernels.triton.device import narrow

SEQUENCES = tl.constexpr(64)  # looked at together


@triton.jit
def tiles_of(
    length: tl.tensor,
    q_len: tl.tensor,
    queries: tl.tuple,
    size: tl.tensor,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """(first, number) of the tiles that queries from the first to the last given may see; one at least, so that each
    tile of rows has a unit.
    """
    first = length * 0
    if PLAN.near:
        first = tl.maximum(first_key(queries[0], q_len, length, size, None, PLAN.mask), 0) // PLAN.block_n
    end = length
    if PLAN.many:
        seen_to = key_end(queries[1], q_len, length, size, PLAN.mask, ALL=False)
        end = tl.minimum(tl.maximum(seen_to, 0), length)
    return first, tl.maximum(tl.cdiv(end, PLAN.block_n) - first, 1)


@triton.jit
def _tiles(
    lengths: tl.tensor,
    start: tl.tensor,
    sequences: tl.tensor,
    q_len: tl.tensor,
    queries: tl.tuple,
    size: tl.tensor,
    PLAN: tl.constexpr,
) -> tl.tensor:
    """Tiles of each of the sequences from `start` on, 0 past the last."""
    sequence = start + tl.arange(0, SEQUENCES)
    length = tl.load(lengths + sequence, mask=sequence < sequences, other=0)
    _, count = tiles_of(length, q_len, queries, size, PLAN)
    return tl.where(sequence < sequences, count, 0)


@triton.jit
def part_of(
    unit: tl.tensor,
    target: tl.tensor,
    lengths: tl.tensor,
    sequences: tl.tensor,
    q_len: tl.tensor,
    queries: tl.tuple,
    size: tl.tensor,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """(sequence, its first unit, its units) of a unit; a sequence past the last for a unit without work.

    No unit has more tiles than all have by `target`, rounded up, so that there are less than target + sequences.
    """
    tiles = tl.cast(0, tl.int64)
    for start in tl.range(0, sequences, SEQUENCES, num_stages=1):
        counts = _tiles(lengths, start, sequences, q_len, queries, size, PLAN)
        tiles += tl.sum(counts.to(tl.int64), 0)
    most = tl.cdiv(tiles, target).to(tl.int32)
    sequence = tl.cast(0, tl.int32)
    first = tl.cast(0, tl.int32)
    number = tl.cast(0, tl.int32)
    reached = tl.cast(0, tl.int32)
    for start in tl.range(0, sequences, SEQUENCES, num_stages=1):
        units = tl.cdiv(_tiles(lengths, start, sequences, q_len, queries, size, PLAN), most)
        ends = reached + tl.cumsum(units, 0)
        behind = (ends <= unit) & (units > 0)
        sequence += tl.sum(behind.to(tl.int32), 0)
        first += tl.sum(tl.where(behind, units, 0), 0)
        number += tl.sum(tl.where((ends > unit) & (ends - units <= unit), units, 0), 0)
        reached += tl.sum(units, 0)
    return sequence, first, number


@triton.jit
def is_last(counter: tl.tensor, expected: tl.tensor) -> tl.tensor:
    """Whether all others that share a sequence have left their parts; the one that hears so sets the counter back."""
    tl.debug_barrier()  # what all threads stored comes before the counter
    last = tl.atomic_add(counter, 1, sem="acq_rel", scope="gpu") == expected - 1
    if last:
        tl.store(counter, 0)
    return last


class Parts(NamedTuple):
    """Where the parts of a sequence are: partial [unit, row, D], lse [unit, row] in base 2; `count` units on end."""

    partial: Any
    lse: Any
    first: Any
    count: Any


@triton.jit
def add_up(
    parts: tl.tuple,
    out: tl.tensor,
    out_rows: tl.tensor,
    row: tl.tensor,
    real: tl.tensor,
    HEAD_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    AT_ONCE: tl.constexpr,
) -> None:
    """Each unit's part weighed by its share of the softmax; a row without a key in any part is zeros.

    row [R] of the ROWS of a part; real: which of them are stored, at `out_rows`. AT_ONCE: units.
    """
    column = tl.arange(0, triton.next_power_of_2(HEAD_DIM))
    peak = tl.full([row.shape[0]], float("-inf"), tl.float32)
    for start in tl.range(0, parts.count, AT_ONCE):
        sums, _, _ = _load_lse(parts, start, row, real, ROWS, AT_ONCE)
        peak = tl.maximum(peak, tl.max(sums, 0))
    anchor = tl.where(peak == float("-inf"), 0.0, peak)
    total = tl.full([row.shape[0]], 0, tl.float32)
    acc = tl.full([row.shape[0], column.shape[0]], 0, tl.float32)
    for start in tl.range(0, parts.count, AT_ONCE):
        sums, unit, mask = _load_lse(parts, start, row, real, ROWS, AT_ONCE)
        shares = tl.exp2(sums - anchor[None, :])
        places = (unit[:, None] * (ROWS * HEAD_DIM) + row[None, :] * HEAD_DIM)[:, :, None] + column[None, None, :]
        mask = mask[:, :, None] & (column < HEAD_DIM)[None, None, :]
        results = tl.load(parts.partial + places, mask=mask, other=0.0, cache_modifier=".cg")
        total += tl.sum(shares, 0)
        acc += tl.sum(results * shares[:, :, None], 0)
    result = acc / tl.where(total == 0, 1.0, total)[:, None]
    pointers = out + out_rows[:, None] + column[None, :]
    tl.store(pointers, narrow(result, out.dtype.element_ty), mask=real[:, None] & (column < HEAD_DIM)[None, :])


@triton.jit
def _load_lse(
    parts: tl.tuple, start: tl.tensor, row: tl.tensor, real: tl.tensor, ROWS: tl.constexpr, AT_ONCE: tl.constexpr
) -> tl.tuple:
    """(lse [AT_ONCE, R] of parts from `start` on, their units [AT_ONCE], which there are [AT_ONCE, R])."""
    at = start + tl.arange(0, AT_ONCE)
    unit = parts.first + at
    mask = (at < parts.count)[:, None] & real[None, :]
    pointers = parts.lse + unit[:, None] * ROWS + row[None, :]
    return tl.load(pointers, mask=mask, other=float("-inf"), cache_modifier=".cg"), unit, mask
