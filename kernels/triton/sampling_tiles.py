"""What the sampling kernels share on the device: logits as they are compared, weights, planes of chunks, and the draw.

A row of V logits is cut into chunks, each read by one program. What a chunk has to say lies in planes [B, chunks] of
one float32 buffer, so that the next kernel finds it. Sums are float32 and always in the same order.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

# Planes of a chunk: its largest logit; the sum of weights over that; the mass of tokens surely above the threshold, for
# the search and of those that min-p keeps; the least logit of these; how many candidates it has.
LARGEST = tl.constexpr(0)
SUM = tl.constexpr(1)
ABOVE = tl.constexpr(2)
KEPT = tl.constexpr(3)
LEAST = tl.constexpr(4)
COUNT = tl.constexpr(5)
PLANES = 6
LOWEST = tl.constexpr(-2139095040)  # the order of the least finite float32
NONE = tl.constexpr(2147483647)
# Triton 3.6 compiles no scan that is shorter than what a thread loads at once, 16 bytes of the narrowest logits.
SHORTEST_SCAN = tl.constexpr(8)


class Logits(NamedTuple):
    """Logits [B, V], the stride of their rows, V, and the bits [B, words] of tokens to penalise."""

    base: Any
    stride: Any
    vocab: Any
    penalty_bits: Any


class Planes(NamedTuple):
    """The buffer of planes, the numbers of one, and the chunks of a row."""

    base: Any
    size: Any
    chunks: Any


class Truncation(NamedTuple):
    """What a row is cut by: `tail` is the share of mass below which a token is surely cut off by top-p.

    least_exponent: by min-p, of a weight over the largest, in base 2.
    """

    top_p: Any
    tail: Any
    least_exponent: Any


@triton.jit
def load_logits(
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    row: tl.tensor,
    token: tl.tensor,
    PENALISED: tl.constexpr,
) -> tl.tensor:
    """Logits in float32, penalised where a bit says so; -inf beyond the vocabulary and never -0."""
    real = token < logits.vocab
    pointers = logits.base + tl.cast(row, tl.int64) * logits.stride + token
    x = tl.load(pointers, mask=real, other=float("-inf")).to(tl.float32)
    if PENALISED:
        word = tl.load(logits.penalty_bits + tl.cast(row, tl.int64) * words + token // 32, mask=real, other=0)
        moved = tl.where(x > 0, tl.div_rn(x, penalty + tl.zeros_like(x)), x * penalty)
        x = tl.where((word >> (token % 32)) & 1 != 0, moved, x)
    return tl.where(x == 0, 0.0, x)


@triton.jit
def order(x: tl.tensor) -> tl.tensor:
    """A whole number, int32, that is larger where x is."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def weight(exponent: tl.tensor) -> tl.tensor:
    """Of a token whose logit, scaled, lies that far (base 2) below the largest."""
    return tl.exp2(exponent)


@triton.jit
def plane(planes: tl.tuple, row: tl.tensor, other: tl.tensor, PLANE: tl.constexpr, CHUNKS: tl.constexpr) -> tl.tensor:
    """A plane's numbers [CHUNKS] of one row; `other` where there is no chunk."""
    chunk = tl.arange(0, CHUNKS)
    pointers = planes.base + PLANE * planes.size + tl.cast(row, tl.int64) * planes.chunks + chunk
    return tl.load(pointers, mask=chunk < planes.chunks, other=other)


@triton.jit
def masses(planes: tl.tuple, row: tl.tensor, scale: tl.tensor, CHUNKS: tl.constexpr) -> tl.tuple:
    """The largest logit of a row, and the mass of each chunk [CHUNKS] over its weight."""
    peaks = plane(planes, row, float("-inf"), LARGEST, CHUNKS)
    largest = tl.max(peaks, 0)
    sums = plane(planes, row, 0.0, SUM, CHUNKS)
    return largest, sums * weight((peaks - largest) * scale)


@triton.jit
def pad(x: tl.tensor, SIZE: tl.constexpr, PADDED: tl.constexpr) -> tl.tensor:
    """x [SIZE] and zeros after it, [PADDED]."""
    if SIZE < PADDED:
        same = tl.arange(0, PADDED)[:, None] == tl.arange(0, SIZE)[None, :]
        x = tl.sum(tl.where(same, x[None, :], 0.0), 1)
    return x


@triton.jit
def draw_chunk(sums: tl.tensor, uniform: tl.tensor, CHUNKS: tl.constexpr) -> tl.tuple:
    """(chunk [N, 1] of each draw, mass [N, 1] that is wanted in it) for the mass of each chunk [CHUNKS]."""
    PADDED: tl.constexpr = max(CHUNKS, SHORTEST_SCAN) if CHUNKS > 1 else 1
    chunk = tl.arange(0, PADDED)[None, :]
    mass = pad(sums, CHUNKS, PADDED)[None, :]
    total = mass
    if CHUNKS > 1:
        total = tl.cumsum(mass, 1)
    wanted = uniform[:, None] * tl.max(total, 1)[:, None]
    last = tl.max(tl.where(mass > 0, chunk, 0), 1)
    drawn = tl.minimum(tl.min(tl.where((mass > 0) & (total > wanted), chunk, PADDED), 1), last)[:, None]
    rest = wanted - tl.sum(tl.where(chunk == drawn, total - mass, 0.0), 1)[:, None]
    return drawn, rest


@triton.jit
def draw(
    sums: tl.tensor,
    uniform: tl.tensor,
    largest: tl.tensor,
    threshold: tl.tensor,
    least_exponent: tl.tensor,
    scale: tl.tensor,
    logits: tl.tuple,
    words: tl.tensor,
    penalty: tl.tensor,
    row: tl.tensor,
    PENALISED: tl.constexpr,
    CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
) -> tl.tensor:
    """Tokens [N] for uniforms [N], from the mass of each chunk [CHUNKS] that is kept: a chunk first, then a place.

    Sums may fall by a rounding where nothing is added: so only what has a weight is ever taken, and the last of
    these where rounding leaves none above.
    """
    chunk, rest = draw_chunk(sums, uniform, CHUNKS)
    place = tl.arange(0, CHUNK)[None, :]
    token = chunk * CHUNK + place
    x = load_logits(logits, words, penalty, row, token, PENALISED)
    exponent = (x - largest) * scale
    weights = tl.where((order(x) >= threshold) & (exponent >= least_exponent), weight(exponent), 0.0)
    reached = (weights > 0) & (tl.cumsum(weights, 1) > rest)
    last = tl.max(tl.where(weights > 0, place, 0), 1)
    return tl.minimum(tl.min(tl.where(reached, token, NONE), 1), tl.sum(chunk, 1) * CHUNK + last).to(tl.int64)
