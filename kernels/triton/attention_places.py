"""The place of an attention kernel's program: its tile, its head, and its sequence among packed ones.

Names in capitals are compile-time constants; PLAN is a `Plan` of `attention_arguments`.
"""

import triton
import triton.language as tl


@triton.jit
def place(
    cu_seqlens: tl.tensor,
    sequences: tl.tensor,
    rows: tl.tensor,
    heads: tl.tensor,
    BLOCK: tl.constexpr,
    PACKED: tl.constexpr,
    LAST_FIRST: tl.constexpr,
) -> tl.tuple:
    """This program's (tile, head, sequence) in a flat grid, tiles running fastest; LAST_FIRST has them run down.

    rows: of a sequence, or of the whole pack. A pack's sequence n, from row a to row b, has the places
    a // BLOCK + n to b // BLOCK + n of a head: one for each of its tiles, and at times one of no use, whose tile begins
    past the sequence's end. So places follow from the cumulative lengths alone, and are no more than
    rows // BLOCK + sequences (`Sizes.programs`).
    """
    places = rows // BLOCK + sequences if PACKED else tl.cdiv(rows, BLOCK)
    program = tl.program_id(0)
    row = program // places
    tile = program % places
    if LAST_FIRST:
        tile = places - 1 - tile
    if PACKED:
        sequence = sequence_at(cu_seqlens, sequences, tile, BLOCK)
        return tile - sequence - tl.load(cu_seqlens + sequence) // BLOCK, row, sequence
    else:
        return tile, row % heads, row // heads


@triton.jit
def sequence_at(cu_seqlens: tl.tensor, sequences: tl.tensor, at: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """The last sequence whose first place in a head is `at` or before it; each step leaves a 128th of them."""
    sequence = at * 0
    step = sequences
    while step > 1:
        step = tl.cdiv(step, 128)
        n = sequence + tl.arange(0, 128) * step
        begins = tl.load(cu_seqlens + n, mask=n < sequences, other=0) // BLOCK + n
        sequence += step * (tl.sum(((begins <= at) & (n < sequences)).to(tl.int32), 0) - 1)
    return sequence


@triton.jit
def lengths(
    packs: tl.tuple,
    sequence: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    PACKED: tl.constexpr,
    UNEQUAL: tl.constexpr,
) -> tl.tuple:
    """(start, start of keys, queries, keys) of a sequence; starts are first rows where packed, else its place in the
    batch. packs: cumulative lengths of queries and, where UNEQUAL, of keys.
    """
    if PACKED:
        start = tl.load(packs[0] + sequence)
        length = tl.load(packs[0] + sequence + 1) - start
        if UNEQUAL:
            key_start = tl.load(packs[1] + sequence)
            return start, key_start, length, tl.load(packs[1] + sequence + 1) - key_start
        else:
            return start, start, length, length
    else:
        return sequence, sequence, q_len, kv_len


@triton.jit
def this_tile(
    packs: tl.tuple,
    sequences: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    heads: tl.tensor,
    OF_KEYS: tl.constexpr,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """(first row, head, start, start of keys, queries, keys): this program's tile, of queries or of keys, and where its
    sequence lies.

    Of queries with a causal mask, those that see most keys are taken first. A tile may begin past its sequence's end.
    """
    BLOCK: tl.constexpr = PLAN.block_n if OF_KEYS else PLAN.block_m
    LAST_FIRST: tl.constexpr = PLAN.causal and not OF_KEYS
    PACK: tl.constexpr = 1 if OF_KEYS and PLAN.unequal else 0
    rows = kv_len if OF_KEYS else q_len
    tile, head, sequence = place(packs[PACK], sequences, rows, heads, BLOCK, PLAN.packed, LAST_FIRST)
    start, key_start, q_len, kv_len = lengths(packs, sequence, q_len, kv_len, PLAN.packed, PLAN.unequal)
    return tile * BLOCK, head, start, key_start, q_len, kv_len
