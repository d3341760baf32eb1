"""Tables of positions against angles worked out by hand, and pairs of channels turned in each style."""

from __future__ import annotations

import math

import pytest
import torch

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.rope_scaling import Llama3Scaling
from attnlab.bench.llm.rope_math import encode, rope_tables


def test_tables_hold_cosines_and_sines_of_each_frequency() -> None:
    cos, sin = rope_tables(100_001, 4, theta=10_000.0)
    assert cos.shape == sin.shape == (100_001, 2)
    assert cos.dtype == torch.float32
    for position in (0, 1, 17, 100_000):
        for pair, frequency in enumerate((1.0, 0.01)):
            assert float(cos[position, pair]) == pytest.approx(math.cos(position * frequency), abs=6e-8)
            assert float(sin[position, pair]) == pytest.approx(math.sin(position * frequency), abs=6e-8)


def test_llama_3_keeps_short_waves_and_slows_long_ones() -> None:
    scaling = Llama3Scaling(factor=8.0, low_frequency_factor=1.0, high_frequency_factor=4.0, original_length=8192)
    theta = (8192 / (2 * math.pi * 2.5)) ** 2  # the second of two frequencies turns 2.5 times over the original length
    assert [1 / divisor for divisor in scaling.divisors(theta, 4)] == pytest.approx([1.0, 0.5 + 0.5 / 8])
    for turns, kept in ((8.0, 1.0), (4.0, 1.0), (1.0, 1 / 8), (0.5, 1 / 8)):
        theta = (8192 / (2 * math.pi * turns)) ** 2
        assert 1 / scaling.divisors(theta, 4)[1] == pytest.approx(kept)
    plain, scaled = (rope_tables(10, 128, 500_000.0, scaling=s)[1] for s in (None, scaling))
    assert torch.equal(plain[:, 0], scaled[:, 0])
    assert not torch.equal(plain[:, -1], scaled[:, -1])


@pytest.mark.parametrize(
    ("style", "expected"),
    [("half", [-3.0, 2.0, 1.0, 4.0]), ("interleaved", [-2.0, 1.0, 3.0, 4.0]), ("sinusoidal", [2.0, 2.0, 3.0, 5.0])],
)
def test_a_quarter_turn_of_the_first_pair(style: str, expected: list[float]) -> None:
    cos, sin = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    assert encode(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]), cos, sin, style).flatten().tolist() == expected


@pytest.mark.parametrize("style", ["half", "interleaved"])
def test_scores_depend_on_distances_alone(style: str) -> None:
    cos, sin = (table.double() for table in rope_tables(1000, 16))
    q, k = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def score(at: int, other: int) -> float:
        turned = (
            encode(x.view(1, 1, 1, 16), cos[p].view(1, 1, 1, 8), sin[p].view(1, 1, 1, 8), style)
            for x, p in ((q, at), (k, other))
        )
        a, b = turned
        return float((a * b).sum())

    assert score(17, 5) == pytest.approx(score(912, 900), rel=1e-5)


def test_what_makes_no_tables() -> None:
    for arguments in ((0, 4), (4, 5), (4, 4, 0.0)):
        with pytest.raises(UsageError, match="expected at least one position, an even head size and a theta above 0"):
            rope_tables(*arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="below the high one"):
        Llama3Scaling(low_frequency_factor=4.0)
