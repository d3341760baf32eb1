"""Many comparisons at once: Holm's step-down, and an estimate of how many hypotheses are true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LIKELY = 0.5  # p-values above it speak for their hypothesis


def holm(p_values: Sequence[float], members: int | None = None) -> list[float]:
    """p-values adjusted so that any false rejection among all has at most the level's chance (Holm 1979).

    members: how many the family has, where not all are given; of the others nothing is rejected.
    """
    _check(p_values)
    p = np.asarray(p_values, dtype=np.float64)
    count = p.size if members is None else max(members, p.size)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (count - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def true_nulls(p_values: Sequence[float], members: int) -> float:
    """About how many hypotheses of a family are true, from the p-values above one half (Storey 2002).

    Rejecting at the level over this number keeps the chance of any false rejection to the level, for independent
    p-values (Finner and Gontscharuk 2009); it is an estimate from above by the number of hypotheses in the least.
    In families of up to three it is their number.
    """
    _check(p_values)
    if members <= 3:
        return float(members)
    return (1 + sum(p > LIKELY for p in p_values)) / (1 - LIKELY)


def _check(p_values: Sequence[float]) -> None:
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"got a p-value of {p!r}; expected a number from 0 to 1")
