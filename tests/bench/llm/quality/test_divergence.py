"""Measures of divergence against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from attnlab.bench.llm.quality.divergence import Divergences, divergences, no_divergence
from attnlab.bench.llm.quality.scoring import Scored

TOKENS = torch.tensor([0, 1])
BASE = Scored(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], dtype=torch.float64).log(), TOKENS)
OTHER = Scored(torch.tensor([[0.25, 0.5, 0.25], [0.2, 0.6, 0.2]], dtype=torch.float64).log(), TOKENS)


@pytest.fixture
def found() -> Divergences:
    return divergences([BASE], [OTHER], 1)


def test_by_hand(found: Divergences) -> None:
    kl = [0.5 * math.log(2) + 0.25 * math.log(0.5), 0.1 * math.log(0.5) * 2 + 0.8 * math.log(0.8 / 0.6)]
    assert found.kl[0].tolist() == pytest.approx(kl)
    assert found.kl_mean == pytest.approx(sum(kl) / 2)
    assert found.kl_quantile(1.0) == pytest.approx(max(kl))
    assert found.kl_quantile(0.99) == pytest.approx(min(kl) + 0.99 * (max(kl) - min(kl)))
    assert found.same_top == 0.5  # of the first token, 0 is most likely by the one and 1 by the other
    assert found.base_perplexity == pytest.approx(1 / math.sqrt(0.5 * 0.8))
    assert found.perplexity == pytest.approx(1 / math.sqrt(0.25 * 0.6))
    assert found.rms_probability_change == pytest.approx(math.sqrt((0.25**2 + 0.2**2) / 2))


def test_the_difference_of_perplexities_is_of_pairs(found: Divergences) -> None:
    difference, low, high = found.perplexity_difference
    assert difference == pytest.approx(found.perplexity - found.base_perplexity)
    assert math.isnan(low)  # two tokens are one block
    assert math.isnan(high)


def test_what_moves_all_tokens_alike_leaves_no_doubt_and_noise_does() -> None:
    base = -torch.rand(3, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    kl, same = torch.zeros_like(base), torch.ones_like(base, dtype=torch.bool)
    shifted = Divergences(base, base - 0.1, kl, same)
    difference, low, high = shifted.perplexity_difference
    assert (low, high) == pytest.approx((difference, difference))
    assert difference == pytest.approx(shifted.base_perplexity * math.expm1(0.1))
    noise = torch.randn(3, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    difference, low, high = Divergences(base, base + noise, kl, same).perplexity_difference
    assert low < difference < high
    assert low < 0 < high


def test_a_model_is_not_away_from_itself() -> None:
    same = divergences([BASE], [BASE], 1)
    alone = no_divergence(BASE.right[None])
    assert same.kl_mean == alone.kl_mean == 0.0
    assert same.perplexity_difference[0] == 0.0
    assert same.same_top == alone.same_top == 1.0
    assert alone.perplexity == same.perplexity
