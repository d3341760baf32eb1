"""Biases: slopes as the paper's code gives them, buckets as T5 has them, and by distance as by pairs."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.biases import Bias, alibi_slopes, bucket_of

t5 = pytest.importorskip("transformers.models.t5.modeling_t5")  # here, since it sets a variable of the environment


def test_slopes_by_hand() -> None:
    assert alibi_slopes(8) == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(1) == [2.0**-8]
    assert alibi_slopes(3) == pytest.approx([2.0**-4, 2.0**-8, 2.0**-2])
    assert len(alibi_slopes(12)) == 12


@pytest.mark.parametrize("buckets", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("causal", [True, False])
def test_buckets_are_those_of_t5(buckets: int, causal: bool) -> None:
    distance = torch.arange(-400, 400)
    want = t5.T5Attention._relative_position_bucket(distance, bidirectional=not causal, num_buckets=buckets)
    assert torch.equal(bucket_of(distance, buckets, causal), want)


@pytest.mark.parametrize("bias", [Bias("alibi"), Bias("relative", 8)])
def test_by_distance_as_by_pairs(bias: Bias) -> None:
    shape = bias.table_shape(3, 5, 9)
    assert shape is not None
    table = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    query, key = torch.arange(5)[:, None] + 4, torch.arange(9)
    by_pairs = bias.of(table, key - query, True)
    by_distance = bias.by_distance(table, 5, 9, True)
    assert by_distance.shape == (3, 13)
    assert torch.equal(by_distance[:, key - query + 8], by_pairs)


def test_alibi_by_hand() -> None:
    got = Bias("alibi").of(torch.tensor([0.5, 0.25]), torch.tensor([-4, 0, 2]), False)
    assert got.tolist() == [[-2.0, 0.0, -1.0], [-1.0, 0.0, -0.5]]


@pytest.mark.parametrize("text", ["none", "alibi", "relative:32", "dense"])
def test_reads_what_it_prints(text: str) -> None:
    assert str(Bias.read(text)) == text
    assert bool(Bias.read(text)) == (text != "none")


@pytest.mark.parametrize(
    "text", ["t5", "alibi:8", "relative", "relative:5", "relative:2", "relative:4096", "dense:", 3]
)
def test_refuses(text: object) -> None:
    with pytest.raises(ImpossibleCase, match="expected"):
        Bias.read(text)


def test_a_dense_bias_hangs_on_no_distance() -> None:
    with pytest.raises(ImpossibleCase, match="got bias dense; expected alibi or relative"):
        Bias("dense").of(torch.zeros(1, 2, 2), torch.zeros(2, 2), True)


def test_the_farthest_share_a_bucket() -> None:
    assert int(bucket_of(torch.tensor(-(10**6)), 32, True)) == 31
    assert int(bucket_of(torch.tensor(-128), 32, True)) == 31
