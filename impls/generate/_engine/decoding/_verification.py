"""Which draft tokens are accepted, and which token follows them: exact, whatever the drafts were drawn from.

Technique: Leviathan et al. (2023, arXiv:2211.17192) and Chen et al. (2023, arXiv:2302.01318).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm import draw


@dataclass(frozen=True, eq=False)
class DraftTokens:
    """Tokens that may come next, of B sequences.

    ids: int64 [B, K]. counts: how many of each sequence's are drafts; what stands behind is padding. probabilities:
    [B, K, V], of which each was drawn; None where it was certain.
    """

    ids: Tensor
    counts: tuple[int, ...]
    probabilities: Tensor | None = None

    @property
    def mask(self) -> Tensor:
        """Which of the ids are drafts, bool [B, K]."""
        counts = torch.tensor(self.counts, device=self.ids.device)
        return torch.arange(self.ids.shape[1], device=self.ids.device) < counts[:, None]


@dataclass(frozen=True, eq=False)
class Acceptance:
    """counts: how many drafts of each sequence are accepted, int64 [B]. next_ids: the token behind them, int64 [B]."""

    counts: Tensor
    next_ids: Tensor


def greedy_acceptance(best: Tensor, drafts: DraftTokens) -> Acceptance:
    """Drafts are accepted while each is the most likely token: best [B, K + 1], int64, after none to all of them."""
    counts = _count_leading(best[:, :-1] == drafts.ids, drafts)
    return Acceptance(counts, best.gather(1, counts[:, None])[:, 0])


def rejection_sampling(target: Tensor, drafts: DraftTokens, chances: Tensor, uniforms: Tensor) -> Acceptance:
    """A draft g is accepted with the chance min(1, p(g) / q(g)); for the first that is not, (p − q)⁺ is drawn from.

    target: p, [B, K + 1, V]. chances [B, K] decide upon drafts, uniforms [B, K + 1] draw the token that follows; both
    in [0, 1), one for each place. Together a token's distribution is p: min(p, q) + (1 − Σ min(p, q)) · (p − q)⁺ / Σ.
    """
    p = target[:, :-1].gather(-1, drafts.ids[..., None])[..., 0]
    q = torch.ones_like(p)
    if drafts.probabilities is not None:
        q = drafts.probabilities.gather(-1, drafts.ids[..., None])[..., 0]
    counts = _count_leading(chances * q < p, drafts)
    left = target[torch.arange(len(counts), device=counts.device), counts]  # [B, V]
    if drafts.ids.shape[1]:
        left = torch.where(_any_rejected(counts, drafts)[:, None], residual(left, drafts, counts), left)
    return Acceptance(counts, draw(left, uniforms.gather(1, counts[:, None]))[:, 0])


def residual(target: Tensor, drafts: DraftTokens, places: Tensor) -> Tensor:
    """(p − q)⁺ at one place of each sequence, whose target distribution p is [B, V]; not normalised.

    Where nothing is left p equals q but for rounding, by which the draft was rejected: then p itself.
    """
    places = places.clamp_max(drafts.ids.shape[1] - 1)
    if drafts.probabilities is None:
        q = torch.zeros_like(target).scatter_(1, drafts.ids.gather(1, places[:, None]), 1.0)
    else:
        q = drafts.probabilities[torch.arange(len(places), device=places.device), places]
    rest = (target - q).clamp_min(0.0)
    return torch.where(rest.sum(-1, keepdim=True) > 0, rest, target)


def _count_leading(accepted: Tensor, drafts: DraftTokens) -> Tensor:
    """How many are accepted before the first that is not, int64 [B], of bool [B, K]."""
    return (accepted & drafts.mask).long().cumprod(-1).sum(-1)


def _any_rejected(counts: Tensor, drafts: DraftTokens) -> Tensor:
    return counts < torch.tensor(drafts.counts, device=counts.device)
