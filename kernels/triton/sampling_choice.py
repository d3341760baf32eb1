"""The kernels of sampling that settle a row once its chunks are known: the largest, the threshold, the draws."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from attnlab.kernels.triton.sampling_thresholds import threshold_of
from attnlab.kernels.triton.sampling_tiles import KEPT, LARGEST, LOWEST, NONE, SUM, Planes, draw, masses, plane


class Draws(NamedTuple):
    """Uniforms [B, N], the stride of their rows, and the tokens [B, N] to fill."""

    uniforms: Any
    stride: Any
    tokens: Any


@triton.jit(do_not_specialize=["size", "chunks", "draws"])
def pick_largest(
    stats: tl.tensor,
    size: tl.tensor,
    chunks: tl.tensor,
    tokens: tl.tensor,
    draws: tl.tensor,
    CHUNKS: tl.constexpr,
    DRAWS: tl.constexpr,
) -> None:
    """One program a row: the first of the largest, for every draw."""
    row = tl.program_id(0)
    planes = Planes(stats, size, chunks)
    peaks = plane(planes, row, float("-inf"), LARGEST, CHUNKS)
    places = plane(planes, row, 0.0, SUM, CHUNKS).to(tl.int32, bitcast=True)
    token = tl.min(tl.where((peaks == tl.max(peaks, 0)) | (peaks != peaks), places, NONE), 0)
    token = tl.where(token == NONE, 0, token).to(tl.int64)  # of a row of NaN alone: any that there is
    for start in range(0, draws, DRAWS):
        lane = start + tl.arange(0, DRAWS)
        at = tokens + tl.cast(row, tl.int64) * draws + lane
        tl.store(at, tl.zeros([DRAWS], tl.int64) + token, mask=lane < draws)


@triton.jit(do_not_specialize=["words", "size", "chunks", "top_k", "draws"])
def choose(
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    scale: tl.tensor,
    stats: tl.tensor,
    size: tl.tensor,
    chunks: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    least_exponent: tl.tensor,
    candidates: tl.tensor,
    thresholds: tl.tensor,
    drawing: tl.tuple,
    draws: tl.tensor,
    KIND: tl.constexpr,
    TOP_P: tl.constexpr,
    ALONE: tl.constexpr,
    PENALISED: tl.constexpr,
    SLABS: tl.constexpr,
    DRAWS: tl.constexpr,
) -> None:
    """One program a row: threshold and kept masses; and the draws, where ALONE says that one program does for all."""
    row = tl.program_id(0)
    planes = Planes(stats, size, chunks)
    if KIND == "plain" or KIND == "size":
        largest, kept = masses(planes, row, scale, SLABS.chunks)
        if KIND == "size":
            kept = plane(planes, row, 0.0, KEPT, SLABS.chunks)
        threshold = tl.cast(LOWEST, tl.int32)
    else:
        largest, threshold, kept = threshold_of(
            planes, row, scale, top_k, top_p, least_exponent, candidates, KIND, TOP_P, SLABS
        )
    if ALONE:
        lane = tl.arange(0, DRAWS)
        uniform = tl.load(
            drawing.uniforms + tl.cast(row, tl.int64) * drawing.stride + lane, mask=lane < draws, other=0.0
        )
        token = draw(
            kept,
            uniform,
            largest,
            threshold,
            least_exponent,
            scale,
            logits,
            words,
            penalty,
            row,
            PENALISED,
            SLABS.chunk,
            SLABS.chunks,
        )
        tl.store(drawing.tokens + tl.cast(row, tl.int64) * draws + lane, token, mask=lane < draws)
    else:
        tl.store(thresholds + row, threshold)
        chunk = tl.arange(0, SLABS.chunks)
        tl.store(stats + KEPT * size + tl.cast(row, tl.int64) * chunks + chunk, kept, mask=chunk < chunks)


@triton.jit(do_not_specialize=["words", "size", "chunks", "draws"])
def draw_many(
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    scale: tl.tensor,
    stats: tl.tensor,
    size: tl.tensor,
    chunks: tl.tensor,
    least_exponent: tl.tensor,
    thresholds: tl.tensor,
    drawing: tl.tuple,
    draws: tl.tensor,
    PENALISED: tl.constexpr,
    CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
    DRAWS: tl.constexpr,
) -> None:
    """DRAWS draws of a row whose threshold and kept masses are known."""
    parts = tl.cdiv(draws, DRAWS)
    row = tl.program_id(0) // parts
    lane = tl.program_id(0) % parts * DRAWS + tl.arange(0, DRAWS)
    uniform = tl.load(drawing.uniforms + tl.cast(row, tl.int64) * drawing.stride + lane, mask=lane < draws, other=0.0)
    planes = Planes(stats, size, chunks)
    largest = tl.max(plane(planes, row, float("-inf"), LARGEST, CHUNKS), 0)
    kept = plane(planes, row, 0.0, KEPT, CHUNKS)
    threshold = tl.load(thresholds + row)
    token = draw(
        kept, uniform, largest, threshold, least_exponent, scale, logits, words, penalty, row, PENALISED, CHUNK, CHUNKS
    )
    tl.store(drawing.tokens + tl.cast(row, tl.int64) * draws + lane, token, mask=lane < draws)
