"""Where the logits of sampling come from: random, peaked, equal, tied, one-hot, masked, and needles."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW

if TYPE_CHECKING:
    from attnlab.bench.ops.sampling.case import SamplingCase

EACH_BY_ITSELF = ("normal", "peaked", "ties")  # those of two draws may stand in one row
ZIPF = 1.2  # exponent of rank, about that of a language model's next token
PEAKED_NOISE = 0.3
TIED_STEP = 0.5
ONE_HOT_LEAD = 50.0
MASKED_SHARE = 0.9  # as a grammar masks
NEEDLE_KINDS = 4  # a spike, a plateau, rows that are alike, and many draws, by seed
ALIKE_NOISE = 0.25  # of the logits of rows that are alike
ALIKE, MANY = 2, 3
MANY_DRAWS = 12_000  # in all, from which a parameter that is a little off shows
MANY_ROWS, MANY_TOKENS = 4, 128  # at most, where a case has fewer draws
FEW_TOKENS = 4
WITH_ENDS = 8  # draws, from which the ends of what is uniform are among them
LARGEST_UNIFORM = 1 - 2.0**-24
SPIKE_LEAD = 60.0
JUST_BELOW = 0.9  # of what would be kept


def logits(case: SamplingCase, draw: str, seed: int, generator: torch.Generator) -> Tensor:
    """float32 [B, V] on the CPU."""
    if draw == NEEDLE_DRAW:
        kind = seed % NEEDLE_KINDS
        return (_spike(case), _plateau(case, generator), _alike(case, generator), _peaked(case, generator))[kind]
    made: Tensor = globals()[f"_{case.inputs}"](case, generator)
    return made


def needle_cases(case: SamplingCase, seed: int) -> tuple[SamplingCase, ...]:
    """The case itself; of many draws one with the same parameters that has them, over a small vocabulary."""
    if seed % NEEDLE_KINDS != MANY or case.params.greedy or case.batch * case.draws >= MANY_DRAWS:
        return (case,)
    rows = min(case.batch, MANY_ROWS)
    return (
        replace(case, batch=rows, vocab=min(case.vocab, MANY_TOKENS), draws=-(-MANY_DRAWS // rows), inputs="peaked"),
    )


def tokens_seen(case: SamplingCase, draw: str, logits: Tensor, seed: int, generator: torch.Generator) -> Tensor:
    """int64 [B, L], alike where rows are: half of them among the likely tokens, half anywhere, one in eight none."""
    shape = case.batch, case.history
    likely = logits.float().topk(min(case.vocab, case.history), -1).indices
    among = likely.gather(-1, torch.randint(likely.shape[-1], shape, generator=generator))
    anywhere = torch.randint(case.vocab, shape, generator=generator)
    seen = torch.where(torch.rand(shape, generator=generator) < 1 / 2, among, anywhere)
    seen = seen.masked_fill(torch.rand(shape, generator=generator) < 1 / 8, -1)
    return seen[:1].expand(shape).clone() if draw == NEEDLE_DRAW and seed % NEEDLE_KINDS == ALIKE else seen


def _random(case: SamplingCase, generator: torch.Generator) -> Tensor:
    return torch.randn(case.batch, case.vocab, generator=generator)


def _normal(case: SamplingCase, generator: torch.Generator) -> Tensor:
    return _random(case, generator)


def _peaked(case: SamplingCase, generator: torch.Generator) -> Tensor:
    """Probabilities that fall as a power of the rank, with noise, in random order."""
    falling = -ZIPF * torch.arange(1, case.vocab + 1).log()
    order = torch.rand(case.batch, case.vocab, generator=generator).argsort(-1)
    return falling[order] + PEAKED_NOISE * _random(case, generator)


def _flat(case: SamplingCase, generator: torch.Generator) -> Tensor:
    return torch.randn(case.batch, 1, generator=generator).expand(-1, case.vocab).clone()


def _ties(case: SamplingCase, generator: torch.Generator) -> Tensor:
    return (_random(case, generator) / TIED_STEP).round() * TIED_STEP


def _one_hot(case: SamplingCase, generator: torch.Generator) -> Tensor:
    chosen = torch.randint(case.vocab, (case.batch, 1), generator=generator)
    return torch.zeros(case.batch, case.vocab).scatter_(-1, chosen, ONE_HOT_LEAD * max(1.0, case.temperature))


def _minus_inf(case: SamplingCase, generator: torch.Generator) -> Tensor:
    made = _random(case, generator)
    masked = torch.rand(case.batch, case.vocab, generator=generator) < MASKED_SHARE
    allowed = torch.randint(case.vocab, (case.batch, 1), generator=generator)
    return made.masked_fill(masked.scatter_(-1, allowed, False), -math.inf)


def _spike(case: SamplingCase) -> Tensor:
    """One token that is certain: the last, the first, or one beside an edge of a tile, another in each row."""
    tile = 1 << max(0, min(10, (case.vocab - 1).bit_length() - 1))
    places = torch.tensor([case.vocab - 1, tile, 1, case.vocab // 2, tile - 1, 0])
    chosen = places[torch.arange(case.batch) % len(places)]
    lead = SPIKE_LEAD * max(1.0, case.temperature) * max(1.0, case.repetition_penalty)
    return torch.zeros(case.batch, case.vocab).scatter_(-1, chosen[:, None], lead)


def uniforms(case: SamplingCase, draw: str, seed: int, generator: torch.Generator) -> Tensor:
    """float32 [B, N] on the CPU; where rows are alike, every other number is that of a row counted from the other end.

    Among these needles the first number is the least that there is, and the last one the largest.
    """
    made = torch.rand(case.batch, case.draws, generator=generator)
    if draw != NEEDLE_DRAW or seed % NEEDLE_KINDS != ALIKE:
        return made
    shared = torch.arange(case.batch * case.draws).view(case.batch, case.draws) % 2 == 1
    first = (torch.arange(case.batch) < case.batch // 2)[:, None]
    made = torch.where((shared & first).flip(0), made.flip(0), made)
    if made.numel() >= WITH_ENDS:
        made[0, 0], made[-1, -1] = 0.0, LARGEST_UNIFORM
    return made


def _alike(case: SamplingCase, generator: torch.Generator) -> Tensor:
    """The same row over and over, nearly flat, without its first and its last token where there are others."""
    row = ALIKE_NOISE * case.temperature * torch.randn(1, case.vocab, generator=generator)
    if case.vocab > FEW_TOKENS:
        row[:, [0, -1]] = -math.inf
    return row.expand(case.batch, -1).clone()


def _plateau(case: SamplingCase, generator: torch.Generator) -> Tensor:
    """A few tokens that are kept above many, nearly as probable, that are cut off by top-k or else by min-p."""
    if case.params.greedy or (case.top_k is None and case.min_p == 0):
        return _normal(case, generator)
    kept = min(case.top_k or 1, case.vocab)
    below = math.log(max(case.min_p, 0.5) if case.top_k is not None else JUST_BELOW * case.min_p)
    chosen = torch.rand(case.batch, case.vocab, generator=generator).topk(kept, -1).indices
    return torch.full((case.batch, case.vocab), below * case.temperature).scatter_(-1, chosen, 0.0)
