"""Scores of the plain decoder: against its own logits, window by window, through caches and where steps are spoilt."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.llm.caches import format_of
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quality.scoring import hidden_states, reading_of, right_logs, scores


@pytest.fixture(scope="module")
def toy() -> ModelWeights:
    return load_model("toy")


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return torch.randint(0, 512, (2, 40), generator=torch.Generator().manual_seed(5))


def test_logarithms_are_those_of_the_logits_before_each_token(toy: ModelWeights, ids: torch.Tensor) -> None:
    logs = reference_logits(toy, ids).double().log_softmax(-1)
    want = logs[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    assert torch.allclose(right_logs(toy, ids, 39), want, atol=1e-5)
    assert torch.allclose(right_logs(toy, ids, 7), want[:, -7:], atol=1e-5)


def test_distributions_add_up_to_one(toy: ModelWeights, ids: torch.Tensor) -> None:
    found = list(scores(toy, hidden_states(toy, ids), ids, 39))
    assert [len(some.tokens) for some in found] == [39, 39]
    assert torch.allclose(found[0].logs.exp().sum(-1), torch.ones(39, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("name", ["int8_token", "int8_channel", "fp8_e4m3"])
def test_a_window_is_read_as_if_it_were_alone(name: str, toy: ModelWeights, ids: torch.Tensor) -> None:
    """Steps of a cache that are set once are set from the window, not from those read beside it."""
    reading = reading_of(format_of(name))
    together = right_logs(toy, ids, 39, reading=reading)
    assert torch.equal(together[1:], right_logs(toy, ids[1:], 39, reading=reading))
    off = (together - right_logs(toy, ids, 39)).abs()
    assert 1e-4 < float(off.mean()) < 0.5


def test_a_format_of_the_dtype_is_no_other_reading() -> None:
    assert reading_of(format_of("same")) is None
