"""The kernels of sampling that see a whole row: the bound of top-k, the threshold among candidates, the draws."""

import triton
import triton.language as tl

from attnlab.kernels.triton.sampling_tiles import (
    ABOVE,
    COUNT,
    KEPT,
    LARGEST,
    LEAST,
    LOWEST,
    SUM,
    draw,
    masses,
    order,
    plane,
    weight,
)


@triton.jit(do_not_specialize=["blocks", "top_k"])
def bound(
    peaks: tl.tensor, blocks: tl.tensor, top_k: tl.tensor, thresholds: tl.tensor,
    SHIFT: tl.constexpr, BLOCKS: tl.constexpr,
) -> None:  # fmt: skip
    """One program a row: the k-th largest of the blocks' largest logits, as `order` has it.

    k blocks that reach it hold k logits that do. Where fewer blocks are finite, every finite logit is a candidate.
    """
    row = tl.program_id(0)
    block = tl.arange(0, BLOCKS)
    x = tl.load(peaks + tl.cast(row, tl.int64) * blocks + block, mask=block < blocks, other=float("-inf"))
    key = order(x)
    finite = key >= LOWEST
    key = key >> SHIFT
    low = tl.min(tl.where(finite, key, 2147483647), 0).to(tl.int64)
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
def slab(
    candidates: tl.tensor, counts: tl.tensor, first: tl.tensor, start: tl.tensor, CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr, WIDTH: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Candidates `start` to `start` + WIDTH of every chunk, [CHUNKS, WIDTH]; -inf where there is none."""
    slot = start + tl.arange(0, WIDTH)[None, :]
    at = first + tl.arange(0, CHUNKS)[:, None] * CHUNK + slot
    return tl.load(candidates + at, mask=slot < counts[:, None], other=float("-inf"))


@triton.jit
def taken(
    x: tl.tensor, key: tl.tensor, largest: tl.tensor, scale: tl.tensor, BY_MASS: tl.constexpr, SHIFT: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """How many of a tile are at or above a key; or, by mass, the weight of those above it."""
    order_of = (order(x) >> SHIFT).to(tl.int64)
    each = (order_of >= key).to(tl.float32)
    if BY_MASS:
        each = tl.where(order_of > key, weight((x - largest) * scale), 0.0)
    return tl.sum(tl.sum(each, 1), 0)


@triton.jit
def search(
    tile: tl.tensor, candidates: tl.tensor, counts: tl.tensor, first: tl.tensor, most: tl.tensor,
    low: tl.tensor, high: tl.tensor, above: tl.tensor, wanted: tl.tensor, largest: tl.tensor, scale: tl.tensor,
    BY_MASS: tl.constexpr, SHIFT: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, WIDTH: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """Halves [low, high] until they are neighbours: at `low` the tally, with `above`, still reaches what is wanted."""
    while high - low > 1:
        middle = (low + high) // 2
        tally = above + taken(tile, middle, largest, scale, BY_MASS, SHIFT)
        start = most * 0 + WIDTH
        while start < most:
            more = slab(candidates, counts, first, start, CHUNK, CHUNKS, WIDTH)
            tally += taken(more, middle, largest, scale, BY_MASS, SHIFT)
            start += WIDTH
        if tally >= wanted:
            low = middle
        else:
            high = middle
    return low, high


@triton.jit
def kept_mass(
    x: tl.tensor, threshold: tl.tensor, largest: tl.tensor, scale: tl.tensor, least_exponent: tl.tensor
) -> tl.tensor:
    """The weight [CHUNKS] of a tile's candidates that no truncation cuts off."""
    exponent = (x - largest) * scale
    return tl.sum(tl.where((order(x) >= threshold) & (exponent >= least_exponent), weight(exponent), 0.0), 1)


@triton.jit
def smallest(x: tl.tensor, SHIFT: tl.constexpr) -> tl.tensor:
    """The least key of a tile's candidates."""
    return tl.min(tl.min(tl.where(x > float("-inf"), order(x) >> SHIFT, 2147483647), 1), 0).to(tl.int64)


@triton.jit
def threshold_of(
    stats: tl.tensor, size: tl.tensor, row: tl.tensor, chunks: tl.tensor, scale: tl.tensor, top_k: tl.tensor,
    top_p: tl.tensor, least_exponent: tl.tensor, candidates: tl.tensor,
    KIND: tl.constexpr, TOP_P: tl.constexpr, SHIFT: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    WIDTH: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """(largest logit, least order that is kept, mass [CHUNKS] that is kept) from a row's candidates."""
    first = tl.cast(row, tl.int64) * chunks * CHUNK
    counts = plane(stats, size, row, chunks, 0.0, COUNT, CHUNKS).to(tl.int32)
    most = tl.max(counts, 0)
    tile = slab(candidates, counts, first, 0, CHUNK, CHUNKS, WIDTH)
    low = smallest(tile, SHIFT)
    start = most * 0 + WIDTH
    while start < most:
        low = tl.minimum(low, smallest(slab(candidates, counts, first, start, CHUNK, CHUNKS, WIDTH), SHIFT))
        start += WIDTH

    kept = tl.zeros([CHUNKS], tl.float32)
    if KIND == "rank":
        largest = tl.max(plane(stats, size, row, chunks, float("-inf"), LARGEST, CHUNKS), 0)
        high = (order(largest) >> SHIFT).to(tl.int64)
        low, _ = search(tile, candidates, counts, first, most, low, high + 1, 0.0, top_k.to(tl.float32), largest, scale,
                        False, SHIFT, CHUNK, CHUNKS, WIDTH)  # fmt: skip
        if TOP_P:
            total = taken(tile, low - 1, largest, scale, True, SHIFT)
            start = most * 0 + WIDTH
            while start < most:
                more = slab(candidates, counts, first, start, CHUNK, CHUNKS, WIDTH)
                total += taken(more, low - 1, largest, scale, True, SHIFT)
                start += WIDTH
            _, low = search(tile, candidates, counts, first, most, low - 1, high, 0.0, top_p * total, largest, scale,
                            True, SHIFT, CHUNK, CHUNKS, WIDTH)  # fmt: skip
    else:
        largest, mass = masses(stats, size, row, chunks, scale, CHUNKS)
        above = tl.sum(plane(stats, size, row, chunks, 0.0, ABOVE, CHUNKS), 0)
        least_above = tl.min(plane(stats, size, row, chunks, float("inf"), LEAST, CHUNKS), 0)
        high = (order(tl.minimum(least_above, largest)) >> SHIFT).to(tl.int64)
        _, low = search(tile, candidates, counts, first, most, tl.minimum(low, high) - 1, high, above,
                        top_p * tl.sum(mass, 0), largest, scale, True, SHIFT, CHUNK, CHUNKS, WIDTH)  # fmt: skip
        kept += plane(stats, size, row, chunks, 0.0, KEPT, CHUNKS)

    threshold = (low << SHIFT).to(tl.int32)
    kept += kept_mass(tile, threshold, largest, scale, least_exponent)
    start = most * 0 + WIDTH
    while start < most:
        more = slab(candidates, counts, first, start, CHUNK, CHUNKS, WIDTH)
        kept += kept_mass(more, threshold, largest, scale, least_exponent)
        start += WIDTH
    return largest, threshold, kept


@triton.jit(do_not_specialize=["size", "chunks", "draws"])
def pick_largest(
    stats: tl.tensor, size: tl.tensor, chunks: tl.tensor, tokens: tl.tensor, draws: tl.tensor,
    CHUNKS: tl.constexpr, DRAWS: tl.constexpr,
) -> None:  # fmt: skip
    """One program a row: the first of the largest, for every draw."""
    row = tl.program_id(0)
    peaks = plane(stats, size, row, chunks, float("-inf"), LARGEST, CHUNKS)
    places = plane(stats, size, row, chunks, 0.0, SUM, CHUNKS).to(tl.int32, bitcast=True)
    token = tl.min(tl.where((peaks == tl.max(peaks, 0)) | (peaks != peaks), places, 2147483647), 0)
    token = tl.where(token == 2147483647, 0, token).to(tl.int64)  # of a row of NaN alone: any that there is
    for start in range(0, draws, DRAWS):
        lane = start + tl.arange(0, DRAWS)
        at = tokens + tl.cast(row, tl.int64) * draws + lane
        tl.store(at, tl.zeros([DRAWS], tl.int64) + token, mask=lane < draws)


@triton.jit(do_not_specialize=["words", "size", "chunks", "top_k", "draws"])
def choose(
    logits: tl.tensor, stride: tl.tensor, vocab: tl.tensor, seen: tl.tensor, words: tl.tensor, penalty: tl.tensor,
    scale: tl.tensor, stats: tl.tensor, size: tl.tensor, chunks: tl.tensor, top_k: tl.tensor, top_p: tl.tensor,
    least_exponent: tl.tensor, candidates: tl.tensor, thresholds: tl.tensor,
    uniforms: tl.tensor, uniforms_stride: tl.tensor, tokens: tl.tensor, draws: tl.tensor,
    KIND: tl.constexpr, TOP_P: tl.constexpr, ALONE: tl.constexpr, SHIFT: tl.constexpr, PENALISED: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, WIDTH: tl.constexpr, DRAWS: tl.constexpr,
) -> None:  # fmt: skip
    """One program a row: threshold and kept masses; and the draws, where ALONE says that one program does for all."""
    row = tl.program_id(0)
    if KIND == "plain" or KIND == "size":
        largest, kept = masses(stats, size, row, chunks, scale, CHUNKS)
        if KIND == "size":
            kept = plane(stats, size, row, chunks, 0.0, KEPT, CHUNKS)
        threshold = tl.cast(LOWEST, tl.int32)
    else:
        largest, threshold, kept = threshold_of(
            stats, size, row, chunks, scale, top_k, top_p, least_exponent, candidates,
            KIND, TOP_P, SHIFT, CHUNK, CHUNKS, WIDTH,
        )  # fmt: skip
    if ALONE:
        lane = tl.arange(0, DRAWS)
        uniform = tl.load(uniforms + tl.cast(row, tl.int64) * uniforms_stride + lane, mask=lane < draws, other=0.0)
        token = draw(kept, uniform, largest, threshold, least_exponent, scale, logits, stride, row, vocab, seen, words,
                     penalty, PENALISED, CHUNK, CHUNKS)  # fmt: skip
        tl.store(tokens + tl.cast(row, tl.int64) * draws + lane, token, mask=lane < draws)
    else:
        tl.store(thresholds + row, threshold)
        chunk = tl.arange(0, CHUNKS)
        tl.store(stats + KEPT * size + tl.cast(row, tl.int64) * chunks + chunk, kept, mask=chunk < chunks)


@triton.jit(do_not_specialize=["words", "size", "chunks", "draws"])
def draw_many(
    logits: tl.tensor, stride: tl.tensor, vocab: tl.tensor, seen: tl.tensor, words: tl.tensor, penalty: tl.tensor,
    scale: tl.tensor, stats: tl.tensor, size: tl.tensor, chunks: tl.tensor, least_exponent: tl.tensor,
    thresholds: tl.tensor, uniforms: tl.tensor, uniforms_stride: tl.tensor, tokens: tl.tensor, draws: tl.tensor,
    PENALISED: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, DRAWS: tl.constexpr,
) -> None:  # fmt: skip
    """DRAWS draws of a row whose threshold and kept masses are known."""
    parts = tl.cdiv(draws, DRAWS)
    row = tl.program_id(0) // parts
    lane = tl.program_id(0) % parts * DRAWS + tl.arange(0, DRAWS)
    uniform = tl.load(uniforms + tl.cast(row, tl.int64) * uniforms_stride + lane, mask=lane < draws, other=0.0)
    largest = tl.max(plane(stats, size, row, chunks, float("-inf"), LARGEST, CHUNKS), 0)
    kept = plane(stats, size, row, chunks, 0.0, KEPT, CHUNKS)
    token = draw(kept, uniform, largest, tl.load(thresholds + row), least_exponent, scale, logits, stride, row, vocab,
                 seen, words, penalty, PENALISED, CHUNK, CHUNKS)  # fmt: skip
    tl.store(tokens + tl.cast(row, tl.int64) * draws + lane, token, mask=lane < draws)
