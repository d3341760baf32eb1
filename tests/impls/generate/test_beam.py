"""Beam search: exact where beams are enough for every text, and never worse than the greedy one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.ops.generate.case import GenerateCase, GenerateOutputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.impls.generate._engine.decoding.beam import place_children
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate.naive import Naive

PROMPT = torch.tensor([[1, 0, 2, 2, 1, 0, 0]])

Tiny = Callable[..., ModelWeights]
Answer = Callable[..., GenerateOutputs]


def likelihoods(weights: ModelWeights, answers: Tensor) -> Tensor:
    """Log-probabilities of answers [A, N] to the prompt, float64 [A]."""
    text = torch.cat([PROMPT.expand(len(answers), -1), answers], 1)
    logits = reference_logits(weights, text[:, :-1], dtype=torch.float64, last=answers.shape[1])
    return logits.log_softmax(-1).gather(-1, answers[..., None])[..., 0].sum(-1)


@pytest.mark.parametrize(
    ("vocabulary", "new_tokens", "beams", "seeds"), [(3, 4, 27, (0, 19, 25, 35)), (7, 3, 49, (1, 4, 9, 15))]
)
@pytest.mark.parametrize("layout", ["contiguous_bhsd", "paged:2"])
def test_with_beams_enough_the_answer_is_the_likeliest_of_all(
    vocabulary: int, new_tokens: int, beams: int, seeds: tuple[int, ...], layout: str, tiny: Tiny, answer: Answer
) -> None:
    """As many beams as there are texts one token short; all texts are tried one by one. Greedy is right on one seed."""
    every = torch.cartesian_prod(*[torch.arange(vocabulary)] * new_tokens)
    better = 0
    for seed in seeds:
        weights = tiny(vocabulary, seed=seed)
        found = answer(weights, PROMPT, new_tokens=new_tokens, decoding=f"beam:{beams}", layout=layout).tokens
        likely = likelihoods(weights, every)
        assert found.tolist() == [every[int(likely.argmax())].tolist()]
        greedy = answer(weights, PROMPT, new_tokens=new_tokens, decoding="greedy").tokens
        better += greedy.tolist() != found.tolist()
    assert better == len(seeds) - 1


def test_beams_are_never_worse_than_greedy(tiny: Tiny, answer: Answer) -> None:
    """Few beams lose the greedy text now and then, with which they would have ended better."""
    gains = []
    for seed in range(12):
        weights = tiny(12, seed=seed)
        greedy = answer(weights, PROMPT, new_tokens=10, decoding="greedy").tokens
        found = answer(weights, PROMPT, new_tokens=10, decoding=f"beam:{1 + seed % 3}").tokens
        gains.append(float(likelihoods(weights, found) - likelihoods(weights, greedy)))
        if seed % 3 == 0:
            assert found.tolist() == greedy.tolist()
    assert min(gains) > -1e-4
    assert max(gains) > 0.1


@pytest.mark.parametrize("layout", ["contiguous_bhsd", "contiguous_bshd", "paged:32"])
@pytest.mark.parametrize("stored", ["same", "int8_token", "int4_g32"])
def test_tokens_of_one_sequence_go_to_another(layout: str, stored: str, tiny: Tiny) -> None:
    """All that is read of them, and what later tokens are encoded with, in every layer; others stay as they were."""
    config = tiny(8, head_dim=32).config
    caches = KVCaches(config, layout_of(layout), format_of(stored), torch.float32, torch.device("cpu"), 4, 96)
    for cache in caches.layers:
        cache.lengths.zero_()
        k, v = torch.randn(2, 4, 1, 70, 32)
        k[:, :, :40], v[:, :, :40] = k[:1, :, :40], v[:1, :, :40]  # a prompt that all share
        cache.append(k, v)
    before = [cache.read() for cache in caches.layers]
    caches.copy_tokens([2, 2], [0, 3], 40, 70)
    more = torch.randn(2, 1, 1, 3, 32).expand(-1, 4, -1, -1, -1)
    for cache, read in zip(caches.layers, before, strict=True):
        cache.lengths.fill_(70)
        for was, now in zip(read, cache.read(), strict=True):
            assert torch.equal(now, was[[2, 1, 2, 2]])
        cache.append(*more)
        for now in cache.read():
            assert torch.equal(now[0], now[2])
            assert torch.equal(now[3], now[2])
            assert not torch.equal(now[1], now[2])


@pytest.mark.parametrize("cache", ["int8_channel", "int4_g32"])
def test_codes_serve_beams(cache: str, tiny: Tiny, answer: Answer) -> None:
    """One beam is the greedy text over the same codes, whose prompt is read once for all sequences."""
    weights, axes = (
        tiny(8, head_dim=32),
        {"new_tokens": 12, "cache": cache, "layout": "paged:32", "model": "smollm2_135m"},
    )
    greedy = answer(weights, PROMPT, decoding="greedy", **axes).tokens.tolist()
    assert answer(weights, PROMPT, decoding="beam:1", **axes).tokens.tolist() == greedy
    assert answer(weights, PROMPT, decoding="beam:4", **axes).tokens.shape == (1, 12)


def test_a_child_stays_in_the_place_of_its_parent() -> None:
    assert place_children([0, 1, 2]) == [0, 1, 2]
    assert place_children([2, 2, 0]) == [2, 1, 0]
    assert sorted(place_children([3, 3, 3, 3])) == [0, 1, 2, 3]


def test_the_contract_accepts_the_answer() -> None:
    """Tokens arrive all at once, when the text is known; the log has one prompt and a step for each token."""
    case = GenerateCase.parse("toy-random-P20-N10-beam:3-fp32")
    inputs = GENERATE.make_inputs(case, "normal", 0, torch.device("cpu"))
    made = Naive()
    found = made.run(inputs, made.prepare(case, inputs))
    expected = GENERATE.check.expect(case, inputs)
    assert all(one.within for one in expected.judge([found.tokens]))
    assert not expected.blunt
    assert [request.tokens for request in found.log.requests] == [(10,)]
    assert [(p.kind, p.rows) for p in found.log.passes] == [("prefill", 20), *[("decode", 4)] * 9]
