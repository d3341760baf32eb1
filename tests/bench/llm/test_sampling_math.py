"""The truncated distribution against one worked out token by token, its ties and its extremes."""

from __future__ import annotations

import math

import pytest
import torch

from attnlab.bench import SamplingParams
from attnlab.bench.errors import SamplingError
from attnlab.bench.llm.sampling_math import SORTED_AT_ONCE, draw, truncated_probabilities

NO = -math.inf


def by_hand(logits, params, seen=()):
    """One row as the definitions say, with Python's numbers."""
    x = [
        (v / params.repetition_penalty if v > 0 else v * params.repetition_penalty) if token in set(seen) else v
        for token, v in enumerate(logits)
    ]
    weights = {token: math.exp((v - max(x)) / params.temperature) for token, v in enumerate(x)}
    if params.top_k is not None and params.top_k < len(x):
        least = sorted(weights.values(), reverse=True)[params.top_k - 1]
        weights = {token: w for token, w in weights.items() if w >= least}
    total = sum(weights.values())
    if params.top_p < 1:
        weights = {
            token: w for token, w in weights.items() if sum(v for v in weights.values() if v > w) < params.top_p * total
        }
    weights = {token: w for token, w in weights.items() if w >= params.min_p}
    total = sum(weights.values())
    return torch.tensor([[weights.get(token, 0.0) / total for token in range(len(x))]], dtype=torch.float64)


@pytest.mark.parametrize(
    "text",
    [
        "t1",
        "t0.5",
        "t2:k5",
        "k1",
        "p0.5",
        "p0.01",
        "t0.7:k10:p0.8",
        "m0.2",
        "t1.3:k20:p0.9:m0.1",
        "r1.5:k8",
        "r0.7:p0.6",
        "k30:p0.99",
        "k40",
        "k1000:p0.7",
    ],
)
@pytest.mark.parametrize("rounded", [False, True])
def test_against_the_definitions(text, rounded):
    params = SamplingParams.parse(text)
    logits = 2 * torch.randn(1, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    logits = logits.round() if rounded else logits  # many ties
    seen = torch.tensor([[3, 5, 5, 39, -1, 0]])
    expected = by_hand(logits[0].tolist(), params, (3, 5, 39, 0))
    torch.testing.assert_close(truncated_probabilities(logits, params, seen), expected, rtol=1e-12, atol=0)
    single = truncated_probabilities(logits.float(), params, seen)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("logits", "text", "expected"),
    [
        ([1.0, 3.0, 3.0, 0.0], "t0", [0, 1, 0, 0]),
        ([1.0, 3.0, 2.0, 0.0], "t0:r2.5", [0, 0, 1, 0]),  # token 1 was seen
        ([1.0, 3.0, 2.0, 0.0], "t0.0000001", [0, 1, 0, 0]),
        ([2.0, 2.0, 2.0, 2.0], "p0.3", [0.25] * 4),
        ([2.0, 2.0, 2.0, 2.0], "k1", [0.25] * 4),
        ([NO, 0.0, NO, 0.0], "k3:p0.9", [0, 0.5, 0, 0.5]),
        ([NO, 5.0, NO, NO], "m0.9", [0, 1, 0, 0]),
        ([9.0, 0.0, 0.0, 0.0], "p0.1", [1, 0, 0, 0]),
        ([math.log(4), math.log(3), math.log(2), 0.0], "p0.69", [4 / 7, 3 / 7, 0, 0]),  # 0.4 + 0.3, without 0.2
        ([math.log(4), math.log(3), math.log(2), 0.0], "p0.71", [4 / 9, 3 / 9, 2 / 9, 0]),
        ([math.log(4), math.log(3), math.log(2), 0.0], "k3:p0.7", [4 / 7, 3 / 7, 0, 0]),  # of 9, 0.44 + 0.33
    ],
)
def test_edges(logits, text, expected):
    found = truncated_probabilities(
        torch.tensor([logits], dtype=torch.float64), SamplingParams.parse(text), torch.tensor([[1]])
    )
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1.0, 8.0])
def test_a_nucleus_that_is_split_is_what_a_sort_gives(spread):
    rows = spread * torch.randn(2, 4 * SORTED_AT_ONCE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for top_p in (0.01, 0.8, 0.999):
        found = truncated_probabilities(rows, SamplingParams(top_p=top_p))
        falling = rows.softmax(-1).sort(descending=True).values
        count = (falling.cumsum(-1) - falling < top_p).sum(-1) if spread else torch.full((2,), rows.shape[1])
        assert (found > 0).sum(-1).tolist() == count.tolist()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[0.0, 1.0], [math.nan, 0.0]], "NaN"),
        ([[0.0, math.inf], [1.0, 0.0]], r"\+inf"),
        ([[0.0, 1.0], [NO, NO]], "a row of nothing but -inf"),
    ],
)
@pytest.mark.parametrize("text", ["t0", "t1", "k1"])
def test_logits_without_a_distribution_are_refused(rows, said, text):
    with pytest.raises(SamplingError, match=f"got logits with {said}; expected at least one finite logit a row"):
        truncated_probabilities(torch.tensor(rows), SamplingParams.parse(text))


def test_draws_invert_the_sums():
    probabilities = torch.tensor([[0.0, 0.5, 0.0, 0.25, 0.25, 0.0]])
    uniforms = torch.tensor([[0.0, 0.49, 0.5, 0.74, 0.75, 1 - 2.0**-24]])
    assert draw(probabilities, uniforms).tolist() == [[1, 1, 3, 3, 4, 4]]
    assert draw(3 * probabilities, uniforms).tolist() == [[1, 1, 3, 3, 4, 4]]
