"""Drawing next tokens from logits in Triton, truncated by top-k, top-p and min-p without a sort.

A row is read in chunks by many programs, and a few small kernels over what the chunks found settle the rest, so that
one row fills a GPU as many do. By what is asked for, with the passes over the logits:

    greedy             the largest of each chunk, the first of these                                  1
    no truncation      masses of chunks; a chunk and a place in it by the uniform number              1
    min-p              the largest, then masses of what is kept                                       2
    top-k, with all    largest of blocks, their k-th is a bound; the logits above it, a few more
                       than k, are candidates; bisection among them for top-k and then top-p          2
    top-p              masses, three turns that each cut the interval of the threshold into eight;
                       the logits left in it are candidates for a bisection                           5

Thresholds are found on logits as whole numbers that have their order, so that ties are exact. Dual pivots as in
FlashInfer's sampler (arXiv:2501.01005) draw their own random numbers; here they are given, one a draw.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.launch_checks import DTYPE_NAMES, DTYPES, check_beside, check_device, expect
from attnlab.kernels.triton.sampling_choice import bound, choose, draw_many, pick_largest
from attnlab.kernels.triton.sampling_passes import collect, mark_seen, narrow, survey
from attnlab.kernels.triton.sampling_tiles import PLANES

LARGEST_VOCAB = 1 << 20
LARGEST_CHUNK = 2048  # logits of a program
BLOCK = 64  # logits whose largest bounds top-k
MOST_BLOCKS = 8192  # that one program compares
BLOCKS_OVER_K = 4  # so that few blocks hold two of the k largest
PARTS = 8
TURNS = 3
CANDIDATES = 2048  # that one program holds at once
DRAWN_AT_ONCE = 8192  # logits of the chunks that a program draws from
STEEPEST = 1e30  # of a scale: a temperature below is as good as 0
NARROW_BITS = {torch.float32: 0, torch.bfloat16: 16, torch.float16: 13}  # of a float32 that are the same in all


@dataclass(frozen=True)
class Plan:
    """How a call is cut: its kind, chunks of a row, logits of a block of top-k, draws of a program."""

    kind: str  # greedy, plain, size, mass or rank
    chunk: int
    chunks: int
    block: int
    draws_at_once: int
    shift: int

    @classmethod
    def of(cls, logits: Tensor, draws: int, temperature: float, top_k: int | None, top_p: float, min_p: float,
           penalised: bool) -> "Plan":  # fmt: skip
        vocab = logits.shape[1]
        chunk = min(LARGEST_CHUNK, max(64, triton.next_power_of_2(vocab)))
        if temperature == 0:
            kind = "greedy"
        elif top_k is not None:
            kind = "rank"
        else:
            kind = "mass" if top_p < 1 else "size" if min_p > 0 else "plain"
        block = max(BLOCK, triton.next_power_of_2(triton.cdiv(vocab, MOST_BLOCKS)))
        while block > 1 and vocab < block * BLOCKS_OVER_K * (top_k or 1) and 2 * vocab <= block * MOST_BLOCKS:
            block //= 2
        at_once = min(DRAWN_AT_ONCE // chunk, triton.next_power_of_2(draws))
        shift = 0 if penalised else NARROW_BITS[logits.dtype]
        return cls(kind, chunk, triton.cdiv(vocab, chunk), block, at_once, shift)

    @property
    def width(self) -> int:
        """Chunks of a row, up to a power of two."""
        return int(triton.next_power_of_2(self.chunks))


def sample(
    logits: Tensor,
    uniforms: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seen: Tensor | None = None,
) -> Tensor:
    """Tokens [B, N] in int64, drawn from logits [B, V] with uniforms [B, N].

    logits: float32, float16 or bfloat16, V up to 2^20, each row with a finite one and without NaN or +inf, else its
    tokens mean nothing. uniforms: float32 in [0, 1). seen: int64 [B, L], tokens to penalise, negative ones none. The
    token is the first, by its id, at which the sum of kept weights exceeds uniform · total, in float32. top_k, top_p
    and min_p in this order, ties at a threshold kept. Waits for nothing on the host. Raises ValueError on arguments
    that do not fit, before any launch.
    """
    asked = _Parameters(temperature, top_k, top_p, min_p, repetition_penalty)
    _check(logits, uniforms, asked, seen)
    batch, vocab = logits.shape
    draws = uniforms.shape[1]
    tokens = torch.empty(batch, draws, dtype=torch.int64, device=logits.device)
    if tokens.numel() == 0:
        return tokens
    top_k = None if top_k is None or top_k >= vocab else top_k
    penalised = seen is not None and seen.shape[1] > 0 and repetition_penalty != 1
    plan = Plan.of(logits, draws, temperature, top_k, top_p, min_p, penalised)
    with torch.cuda.device_of(logits):
        row = _Row.of(logits, plan, temperature, repetition_penalty, seen if penalised else None)
        _survey(row, top_k)
        if plan.kind == "greedy":
            pick_largest[(batch,)](row.stats, row.size, plan.chunks, tokens, draws, CHUNKS=plan.width,
                                   DRAWS=min(1024, triton.next_power_of_2(draws)), num_warps=1)  # fmt: skip
            return tokens
        _choose(row, uniforms, tokens, top_k, top_p, math.log2(min_p) if min_p > 0 else -math.inf)
    return tokens


@dataclass(frozen=True)
class _Row:
    """What every kernel is given: logits and how they are read, and the buffers between kernels."""

    logits: Tensor
    plan: Plan
    bits: Tensor
    words: int
    penalty: float
    scale: float
    stats: Tensor
    peaks: Tensor
    thresholds: Tensor

    @classmethod
    def of(cls, logits: Tensor, plan: Plan, temperature: float, penalty: float, seen: Tensor | None) -> "_Row":
        batch, vocab = logits.shape
        new = logits.new_empty
        words = triton.cdiv(vocab, 32)
        bits = logits
        if seen is not None:
            bits = new(batch, words, dtype=torch.int32)
            mark_seen[(batch,)](seen, seen.stride(0), bits, words, vocab, seen.shape[1], BLOCK=1024, num_warps=4)
        scale = min(math.log2(math.e) / max(temperature, 1 / STEEPEST), STEEPEST)
        peaks = new(batch, triton.cdiv(vocab, plan.block) if plan.kind == "rank" else 0, dtype=torch.float32)
        return cls(logits, plan, bits, words, penalty, scale, new(PLANES, batch, plan.chunks, dtype=torch.float32),
                   peaks, new(batch, dtype=torch.int32))  # fmt: skip

    @property
    def size(self) -> int:
        """Numbers of a plane."""
        return self.stats[0].numel()

    @property
    def reading(self) -> tuple[Any, ...]:
        """The arguments of every kernel that reads logits."""
        return (self.logits, self.logits.stride(0), self.logits.shape[1], self.bits, self.words, self.penalty,
                self.scale, self.stats, self.size)  # fmt: skip

    @property
    def sizes(self) -> dict[str, Any]:
        return {"PENALISED": self.bits is not self.logits, "CHUNK": self.plan.chunk}

    @property
    def grid(self) -> tuple[int, int]:
        """Rows first, of which there may be more than the 65,535 that other axes hold."""
        return self.logits.shape[0], self.plan.chunks


def _survey(row: _Row, top_k: int | None) -> None:
    plan, blocks = row.plan, row.peaks.shape[1]
    survey[row.grid](*row.reading, row.peaks, blocks, KIND=plan.kind, BLOCK=min(plan.block, plan.chunk), num_warps=4,
                     **row.sizes)  # fmt: skip
    if plan.kind == "rank":
        padded = triton.next_power_of_2(blocks)
        bound[(row.logits.shape[0],)](row.peaks, blocks, top_k, row.thresholds, SHIFT=plan.shift, BLOCKS=padded,
                                      num_warps=8 if padded > 2048 else 4)  # fmt: skip


def _choose(
    row: _Row, uniforms: Tensor, tokens: Tensor, top_k: int | None, top_p: float, least_exponent: float
) -> None:
    """Narrow, collect, and draw."""
    plan, new = row.plan, row.logits.new_empty
    batch, vocab = row.logits.shape
    tail = (1 - top_p) / (2 * vocab)
    searched = plan.kind == "mass"
    bounds = new((TURNS + 1) * batch * 2 if searched else 0, dtype=torch.float32)
    partials = new(TURNS * row.size * PARTS if searched else 0, dtype=torch.float32)
    candidates = new(row.size * plan.chunk if plan.kind in ("mass", "rank") else 0, dtype=torch.float32)
    sizes = row.sizes | {"CHUNKS": plan.width}
    for turn in range(TURNS if searched else 0):
        narrow[row.grid](*row.reading, top_p, tail, bounds, partials, turn, FIRST=turn == 0, PARTS=PARTS, num_warps=8,
                         **sizes)  # fmt: skip
    if plan.kind != "plain":
        collect[row.grid](*row.reading, top_p, tail, least_exponent, bounds, partials, TURNS, row.thresholds,
                          candidates, KIND=plan.kind, PARTS=PARTS, num_warps=4, **sizes)  # fmt: skip
    draws = tokens.shape[1]
    alone = draws <= plan.draws_at_once
    sizes |= {"DRAWS": plan.draws_at_once}
    drawing = (uniforms, uniforms.stride(0), tokens, draws)
    choose[(batch,)](*row.reading, plan.chunks, top_k or 0, top_p, least_exponent, candidates, row.thresholds, *drawing,
                     KIND=plan.kind, TOP_P=top_p < 1, ALONE=alone, SHIFT=plan.shift,
                     WIDTH=max(1, CANDIDATES // plan.width), num_warps=8, **sizes)  # fmt: skip
    if not alone:
        draw_many[(triton.cdiv(draws, plan.draws_at_once) * batch,)](
            *row.reading, plan.chunks, least_exponent, row.thresholds, *drawing, num_warps=8, **sizes
        )


@dataclass(frozen=True)
class _Parameters:
    """What is asked for, see `sample`."""

    temperature: float
    top_k: int | None
    top_p: float
    min_p: float
    repetition_penalty: float

    def check(self) -> None:
        """ValueError where a parameter does not fit."""
        for name, fits, expected in (
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more, or None"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p < 1, "0 to below 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0"),
        ):
            expect(fits, f"{name} {getattr(self, name)}", expected, f"pass such a {name}")


def _check(logits: Tensor, uniforms: Tensor, parameters: _Parameters, seen: Tensor | None) -> None:
    fits = logits.dim() == 2 and logits.dtype in DTYPES and logits.stride(-1) == 1
    got = f"logits {list(logits.shape)} of {logits.dtype}"
    expect(fits, got, f"[B, V] of {DTYPE_NAMES} without gaps", "cast, reshape or copy them")
    batch, vocab = logits.shape
    expect(1 <= vocab <= LARGEST_VOCAB, f"{vocab} tokens", f"1 to {LARGEST_VOCAB}", "take another sampler")
    check_device("logits", logits)
    fits = uniforms.dim() == 2 and uniforms.shape[0] == batch and uniforms.dtype == torch.float32
    fits = fits and (uniforms.shape[1] == 1 or uniforms.stride(-1) == 1)
    got = f"uniforms {list(uniforms.shape)} of {uniforms.dtype}"
    expect(fits, got, f"[{batch}, N] of torch.float32 without gaps", "pass one number in [0, 1) for each draw")
    check_beside("uniforms", uniforms, logits)
    parameters.check()
    if seen is None:
        expect(parameters.repetition_penalty == 1, "a repetition penalty without seen", "both", "pass seen")
        return
    fits = seen.dim() == 2 and seen.shape[0] == batch and seen.dtype == torch.int64
    fits = fits and (seen.shape[1] <= 1 or seen.stride(-1) == 1)
    wanted = f"[{batch}, L] of torch.int64 without gaps"
    expect(fits, f"seen {list(seen.shape)} of {seen.dtype}", wanted, "pass tokens of each row")
    check_beside("seen", seen, logits)
