"""Scores that are rounded to the dtype before the softmax, and how code that does so is judged.

The contract asks for scores in float32. Eager attention as transformers has it rounds the product of queries and keys,
and rounds again after scaling. That moves a weight by up to some tenths where scores are large, so that no budget that
lets it pass would find anything wrong. Such code is judged by an oracle that rounds the same, and by no wider budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import ErrorBudget

NUDGE = 2.0**-21  # of the root of a product's sum of squares: how far sums in float32 lie apart


@dataclass(frozen=True)
class Rounding:
    """Which scores are rounded: the product before it is scaled, and what comes of scaling.

    nudge: how far products are moved first, in the root of the sum of squares of their terms.
    """

    product: bool = False
    scaled: bool = False
    nudge: float = 0.0

    def scores(self, q: Tensor, k: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
        """q [..., R, D] times k [..., D, S] and the scale, in their dtype, rounded to `dtype` where it says."""
        made: Tensor = q @ k
        if self.nudge:
            made = made + self.nudge * (q.square() @ k.square()).sqrt()
        if self.product:
            made = made.to(dtype).to(made.dtype)
        made = made * scale
        return made.to(dtype).to(made.dtype) if self.scaled else made


NO_ROUNDING = Rounding()
ROUNDINGS: Mapping[str, Rounding] = {
    "scores": Rounding(product=True, scaled=True),
    "scaled_scores": Rounding(scaled=True),
}


def with_roundings(check: ErrorBudget[Any, Any], slack: Callable[..., Any]) -> ErrorBudget[Any, Any]:
    """The check, with one more for each rounding, by an oracle, a yardstick and a slack that take a `rounding`."""
    oracle: Callable[..., Any] = check.oracle
    yardstick: Callable[..., Any] = check.yardstick
    made = {
        name: replace(
            check,
            oracle=partial(oracle, rounding=rounding),
            yardstick=partial(yardstick, rounding=rounding),
            slack=partial(slack, rounding=rounding),
        )
        for name, rounding in ROUNDINGS.items()
    }
    return replace(check, roundings=made)
