"""Inputs whose partial sums are far larger than the sum, so that sums in fewer bits than float32's show.

Terms of one sign come first and those of the other after them, in runs of every plausible length: whoever adds up parts
(of a split, of a tile, of every eighth term) in a narrow type, and rounds each, is off by much more than the result's
own rounding. Honest sums in float32 are not.
"""

from __future__ import annotations

import torch
from torch import Tensor

EVEN_PARTS = 4  # runs of a half, a quarter, … of all terms
SHORTEST_RUNS = 7  # runs of 1, 2, 4, … terms, as parts that take every other term have them
ODD_STEPS = (3, 5, 7)  # of parts that take every third, fifth or seventh term
PEAK = {"float32": 4.0, "float16": 48.0, "bfloat16": 400.0}
"""The largest partial sum over the size of the result: so much that parts in float16 show. In float32 honest orders of
summing differ by as much as is let through, and narrow sums show without."""
LONGEST_PEAK = {"float32": float("inf"), "float16": 4e5, "bfloat16": 3.2e6}
"""Peak times terms: beyond, tensor cores, which cut float32 sums off where others round them, would show."""
LARGEST_SHARE = 16.0  # of the ordered part of a term over its random one
FLAT = 0.1  # what queries are multiplied by, so that all keys weigh about alike
ORDERED = 4.0  # the part of a value that cancels over all keys, beside a random one of size one


def signs(terms: int, patterns: int, turn: int = 0, *, short: bool = False) -> Tensor:
    """±1 in float32, [patterns, terms]: each row has runs of another length; `turn` is that of the first row.

    short: no runs of a share of all terms, so that the first terms, however many, cancel too.
    """
    place = torch.arange(terms)
    even = () if short else range(1, EVEN_PARTS + 1)
    runs = [place * 2**power // terms for power in even if 2**power <= terms]
    runs += [place // 2**power for power in range(SHORTEST_RUNS) if 2 ** (power + EVEN_PARTS) < terms]
    runs += [_steps(place, step) for step in ODD_STEPS if step * 2**EVEN_PARTS < terms]
    if not runs:  # fewer than two terms
        return torch.ones(patterns, terms)
    made = torch.stack([1.0 - 2.0 * (run % 2) for run in runs])
    return made[(torch.arange(patterns) + turn) % len(made)]


def _steps(place: Tensor, step: int) -> Tensor:
    """Of `step` terms in a row the first have one sign, the last the other, and the one between has them by turns."""
    within, middle = place % step, step // 2
    return torch.where(within == middle, place // step, (within > middle).long())


def ordered_share(terms: int, dtype: str) -> float:
    """How large the part of each term is that has the pattern's sign, beside a random part of size 1."""
    peak = min(PEAK[dtype], LONGEST_PEAK[dtype] / terms)
    return float(min(LARGEST_SHARE, 2 * peak / terms**0.5))
