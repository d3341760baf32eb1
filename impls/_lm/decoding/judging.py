"""Which guesses stand, and which token follows them: exact, whatever the guesses were drawn from.

Technique: Leviathan et al. (2023, arXiv:2211.17192) and Chen et al. (2023, arXiv:2302.01318).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm import draw


@dataclass(frozen=True, eq=False)
class Guesses:
    """Tokens that may come next, of B sequences.

    ids: int64 [B, K]. counts: how many of each sequence's are guesses; what stands behind fills up. probabilities:
    [B, K, V], of which each was drawn; None where it was certain.
    """

    ids: Tensor
    counts: tuple[int, ...]
    probabilities: Tensor | None = None

    @property
    def counted(self) -> Tensor:
        """Which of the ids are guesses, bool [B, K]."""
        counts = torch.tensor(self.counts, device=self.ids.device)
        return torch.arange(self.ids.shape[1], device=self.ids.device) < counts[:, None]


@dataclass(frozen=True, eq=False)
class Verdict:
    """accepted: how many guesses of each sequence stand, int64 [B]; following: the token behind them, int64 [B]."""

    accepted: Tensor
    following: Tensor


def agreement(best: Tensor, guesses: Guesses) -> Verdict:
    """Guesses stand while each is the most likely token: best [B, K + 1], int64, after none to all of them."""
    accepted = _leading(best[:, :-1] == guesses.ids, guesses)
    return Verdict(accepted, best.gather(1, accepted[:, None])[:, 0])


def rejection(target: Tensor, guesses: Guesses, chances: Tensor, uniforms: Tensor) -> Verdict:
    """A guess g stands with the chance min(1, p(g) / q(g)); for the first that falls a token is drawn from (p − q)⁺.

    target: p, [B, K + 1, V]. chances [B, K] decide upon guesses, uniforms [B, K + 1] draw the token that follows; both
    in [0, 1), one for each place. Together a token's distribution is p: min(p, q) + (1 − Σ min(p, q)) · (p − q)⁺ / Σ.
    """
    drafted = guesses.probabilities
    p = target[:, :-1].gather(-1, guesses.ids[..., None])[..., 0]
    q = torch.ones_like(p) if drafted is None else drafted.gather(-1, guesses.ids[..., None])[..., 0]
    accepted = _leading(chances * q < p, guesses)
    left = target[torch.arange(len(accepted), device=accepted.device), accepted]  # [B, V]
    if guesses.ids.shape[1]:
        left = torch.where(_some_fell(accepted, guesses)[:, None], residual(left, guesses, accepted), left)
    return Verdict(accepted, draw(left, uniforms.gather(1, accepted[:, None]))[:, 0])


def residual(target: Tensor, guesses: Guesses, places: Tensor) -> Tensor:
    """(p − q)⁺ at one place of each sequence, whose target distribution p is [B, V]; not normalised.

    Where nothing is left p equals q but for rounding, by which the guess fell: then p itself.
    """
    places = places.clamp_max(guesses.ids.shape[1] - 1)
    if guesses.probabilities is None:
        q = torch.zeros_like(target).scatter_(1, guesses.ids.gather(1, places[:, None]), 1.0)
    else:
        q = guesses.probabilities[torch.arange(len(places), device=places.device), places]
    rest = (target - q).clamp_min(0.0)
    return torch.where(rest.sum(-1, keepdim=True) > 0, rest, target)


def _leading(stands: Tensor, guesses: Guesses) -> Tensor:
    """How many stand before the first that does not, int64 [B], of bool [B, K]."""
    return (stands & guesses.counted).long().cumprod(-1).sum(-1)


def _some_fell(accepted: Tensor, guesses: Guesses) -> Tensor:
    return accepted < torch.tensor(guesses.counts, device=accepted.device)
