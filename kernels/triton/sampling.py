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
from dataclasses import dataclass, replace
from typing import Any

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.sampling_choice import Draws, choose, draw_many, pick_largest
from attnlab.kernels.triton.sampling_passes import Search, collect, mark_seen, narrow, survey
from attnlab.kernels.triton.sampling_plan import BUILT_IN, Parameters, Plan, Tiling, check
from attnlab.kernels.triton.sampling_thresholds import Slabs, bound
from attnlab.kernels.triton.sampling_tiles import PLANES, Logits, Truncation

PARTS = 8
TURNS = 3
CANDIDATES = 2048  # that one program holds at once
STEEPEST = 1e30  # of a scale: a temperature below is as good as 0


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
    tiling: Tiling = BUILT_IN,
) -> Tensor:
    """Tokens [B, N] in int64, drawn from logits [B, V] with uniforms [B, N].

    logits: float32, float16 or bfloat16, V up to 2^20, each row with a finite one and without NaN or +inf, else its
    tokens mean nothing. uniforms: float32 in [0, 1). seen: int64 [B, L], tokens to penalise, negative ones none. The
    token is the first, by its id, at which the sum of kept weights exceeds uniform · total, in float32. top_k, top_p
    and min_p in this order, ties at a threshold kept. Waits for nothing on the host. Raises ValueError on arguments
    that do not fit, before any launch.
    """
    parameters = Parameters(temperature, top_k, top_p, min_p, repetition_penalty)
    check(logits, uniforms, parameters, seen)
    batch, vocab = logits.shape
    draws = uniforms.shape[1]
    tokens = torch.empty(batch, draws, dtype=torch.int64, device=logits.device)
    if tokens.numel() == 0:
        return tokens
    if top_k is not None and top_k >= vocab:
        parameters = replace(parameters, top_k=None)
    penalised = seen is not None and seen.shape[1] > 0 and repetition_penalty != 1
    plan = Plan.of(logits, draws, parameters, penalised, tiling)
    with torch.cuda.device_of(logits):
        rows = _Rows.of(logits, plan, parameters, seen if penalised else None)
        _survey(rows, parameters)
        if plan.kind == "greedy":
            at_once = min(1024, triton.next_power_of_2(draws))
            pick_largest[(batch,)](
                rows.stats, rows.size, plan.chunks, tokens, draws, CHUNKS=plan.width, DRAWS=at_once, num_warps=1
            )
        else:
            _draw(rows, _collect(rows, parameters), uniforms, tokens, parameters)
    return tokens


@dataclass(frozen=True)
class _Rows:
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
    def of(cls, logits: Tensor, plan: Plan, parameters: Parameters, seen: Tensor | None) -> "_Rows":
        batch, vocab = logits.shape
        new = logits.new_empty
        words = triton.cdiv(vocab, 32)
        bits = logits
        if seen is not None:
            bits = new(batch, words, dtype=torch.int32)
            mark_seen[(batch,)](seen, seen.stride(0), bits, words, vocab, seen.shape[1], BLOCK=1024, num_warps=4)
        blocks = triton.cdiv(vocab, plan.block) if plan.kind == "rank" else 0
        return cls(
            logits,
            plan,
            bits,
            words,
            parameters.repetition_penalty,
            scale=min(math.log2(math.e) / max(parameters.temperature, 1 / STEEPEST), STEEPEST),
            stats=new(PLANES, batch, plan.chunks, dtype=torch.float32),
            peaks=new(batch, blocks, dtype=torch.float32),
            thresholds=new(batch, dtype=torch.int32),
        )

    @property
    def size(self) -> int:
        """Numbers of a plane."""
        return self.stats[0].numel()

    @property
    def penalised(self) -> bool:
        return self.bits is not self.logits

    @property
    def reading(self) -> tuple[Any, ...]:
        """The arguments of every kernel that reads logits."""
        logits = Logits(self.logits, self.logits.stride(0), self.logits.shape[1], self.bits)
        return logits, self.words, self.penalty, self.scale, self.stats, self.size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows first, of which there may be more than the 65,535 that other axes hold."""
        return self.logits.shape[0], self.plan.chunks


def _survey(rows: _Rows, parameters: Parameters) -> None:
    """The largest and the mass of each chunk; of top-k the largest of each block, and their bound."""
    plan, blocks = rows.plan, rows.peaks.shape[1]
    survey[rows.grid](
        *rows.reading,
        rows.peaks,
        blocks,
        KIND=plan.kind,
        PENALISED=rows.penalised,
        CHUNK=plan.chunk,
        BLOCK=min(plan.block, plan.chunk),
        num_warps=plan.tiling.pass_warps,
    )
    if plan.kind == "rank":
        padded = triton.next_power_of_2(blocks)
        bound[(rows.logits.shape[0],)](
            rows.peaks,
            blocks,
            parameters.top_k,
            rows.thresholds,
            SHIFT=plan.shift,
            BLOCKS=padded,
            num_warps=8 if padded > 2048 else 4,
        )


def _collect(rows: _Rows, parameters: Parameters) -> Tensor:
    """Candidates [B, chunks, chunk] of top-k or top-p, after turns that narrow the interval of top-p's threshold."""
    plan, new = rows.plan, rows.logits.new_empty
    batch, vocab = rows.logits.shape
    turns = TURNS if plan.kind == "mass" else 0
    search = Search(
        new((TURNS + 1) * batch * 2 if turns else 0, dtype=torch.float32),
        new(turns * rows.size * PARTS, dtype=torch.float32),
    )
    candidates = new(rows.size * plan.chunk if plan.kind in ("mass", "rank") else 0, dtype=torch.float32)
    truncation = Truncation(parameters.top_p, (1 - parameters.top_p) / (2 * vocab), parameters.least_exponent)
    sizes = {"PARTS": PARTS, "PENALISED": rows.penalised, "CHUNK": plan.chunk, "CHUNKS": plan.width}
    for turn in range(turns):
        narrow[rows.grid](
            *rows.reading, truncation, search, turn, FIRST=turn == 0, num_warps=plan.tiling.turn_warps, **sizes
        )
    if plan.kind != "plain":
        collect[rows.grid](
            *rows.reading,
            truncation,
            search,
            TURNS,
            rows.thresholds,
            candidates,
            KIND=plan.kind,
            num_warps=plan.tiling.pass_warps,
            **sizes,
        )
    return candidates


def _draw(rows: _Rows, candidates: Tensor, uniforms: Tensor, tokens: Tensor, parameters: Parameters) -> None:
    """What is kept of each row, and its draws: in the same kernel, unless they are too many for one program."""
    plan = rows.plan
    batch, draws = tokens.shape
    alone = draws <= plan.draws_at_once
    drawing = Draws(uniforms, uniforms.stride(0), tokens)
    choose[(batch,)](
        *rows.reading,
        plan.chunks,
        parameters.top_k or 0,
        parameters.top_p,
        parameters.least_exponent,
        candidates,
        rows.thresholds,
        drawing,
        draws,
        KIND=plan.kind,
        TOP_P=parameters.top_p < 1,
        ALONE=alone,
        PENALISED=rows.penalised,
        SLABS=Slabs(plan.chunk, plan.width, max(1, CANDIDATES // plan.width), plan.shift),
        DRAWS=plan.draws_at_once,
        num_warps=plan.tiling.row_warps,
    )
    if not alone:
        draw_many[(triton.cdiv(draws, plan.draws_at_once) * batch,)](
            *rows.reading,
            plan.chunks,
            parameters.least_exponent,
            rows.thresholds,
            drawing,
            draws,
            PENALISED=rows.penalised,
            CHUNK=plan.chunk,
            CHUNKS=plan.width,
            DRAWS=plan.draws_at_once,
            num_warps=plan.tiling.row_warps,
        )
