"""Guesses leave the joint distribution of tokens as it is: chi-square tests that a wrong rule fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from attnlab.bench.llm.generation.recorder import Recorder
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.sampling_math import draw, truncated_probabilities
from attnlab.bench.llm.sampling_params import SamplingParams
from attnlab.impls._lm.decoding.judging import Guesses, Verdict, agreement, rejection
from attnlab.impls._lm.decoding.speculation import Speculation
from attnlab.impls._lm.serving import Desk

VOCABULARY = 6
TOKENS = 3  # whose joint distribution is tested, of answers two longer
PROMPT = torch.tensor([4, 0, 2, 4, 1, 3, 4, 2, 5, 4, 3, 1, 4, 5, 0, 4, 4])  # something followed 4 and any token
BATCH, BATCHES = 1024, 20
LEAST_EXPECTED = 5.0  # draws of a cell; rarer ones are taken together

Tiny = Callable[..., ModelWeights]
Prepare = Callable[..., Desk]
Judge = Callable[[Tensor, Guesses, Tensor, Tensor], Verdict]


def exact_joint(weights: ModelWeights, params: SamplingParams) -> Tensor:
    """The probability of every beginning of an answer, float64 [V ** 3], by the reference model."""
    prompt = PROMPT.expand(VOCABULARY ** (TOKENS - 1), -1)
    begun = torch.cartesian_prod(*[torch.arange(VOCABULARY)] * (TOKENS - 1))  # [V², 2]
    text = torch.cat([prompt, begun], 1)
    logits = reference_logits(weights, text, dtype=torch.float64, last=TOKENS)
    joint = torch.ones(len(text), 1, dtype=torch.float64)
    for place in range(TOKENS):
        p = truncated_probabilities(logits[:, place], params, text[:, : len(PROMPT) + place])
        joint = joint * (p if place == TOKENS - 1 else p.gather(1, begun[:, place, None]))
    return joint.flatten()


def p_value(server: Desk, expected: Tensor, batches: int) -> float:
    """Of many answers to one prompt, each with random numbers of its own; 0 where one was impossible."""
    count = BATCH * batches
    recorder = Recorder([0.0] * count, [PROMPT.tolist()] * count)
    drawn = torch.zeros(len(expected), dtype=torch.int64)
    place = VOCABULARY ** torch.arange(TOKENS - 1, -1, -1)
    for first in range(0, count, BATCH):
        server.engine.begin()
        tokens = server.method.answer(recorder, range(first, first + BATCH), seed=11)
        drawn += (tokens[:, :TOKENS] * place).sum(1).bincount(minlength=len(expected))
    if int(drawn[expected == 0].sum()):
        return 0.0
    often = expected * count >= LEAST_EXPECTED
    observed = [*drawn[often].tolist(), int(drawn[~often].sum())]
    likely = torch.cat([expected[often], expected[~often].sum()[None]]) * count
    if likely[-1] < LEAST_EXPECTED:
        observed, likely = [*observed[:-2], sum(observed[-2:])], torch.cat([likely[:-2], likely[-2:].sum()[None]])
    return float(chisquare(observed, (likely * (count / likely.sum())).numpy()).pvalue)


def accepting(target: Tensor, guesses: Guesses, chances: Tensor, uniforms: Tensor) -> Verdict:
    """Wrong: every guess stands."""
    return rejection(target, guesses, torch.full_like(chances, -1.0), uniforms)


def redrawing(target: Tensor, guesses: Guesses, chances: Tensor, uniforms: Tensor) -> Verdict:
    """Wrong: for a guess that fell a token is drawn from the target itself, which may give the guess again."""
    accepted = rejection(target, guesses, chances, uniforms).accepted
    left = target[torch.arange(len(accepted)), accepted]
    return Verdict(accepted, draw(left, uniforms.gather(1, accepted[:, None]))[:, 0])


@pytest.fixture
def server(tiny: Tiny, prepare: Prepare) -> Callable[..., tuple[Desk, Tensor]]:
    """server(decoding, judge) -> our decoder for it, and the exact joint distribution."""

    def make(decoding: str, judge: Judge = rejection) -> tuple[Desk, Tensor]:
        weights = tiny(VOCABULARY, seed=4)
        made = prepare(weights, PROMPT.expand(BATCH, -1), new_tokens=TOKENS + 2, decoding=decoding)
        assert isinstance(made.method, Speculation)
        made.method.judge = judge
        return made, exact_joint(weights, made.method.params)

    return make


@pytest.mark.parametrize("decoding", ["prompt_lookup:3:t1:5", "draft_model:3:t1:5", "draft_model:2:t1:k4:r1:3"])
def test_the_joint_distribution_is_exact(decoding: str, server: Callable[..., tuple[Desk, Tensor]]) -> None:
    made, expected = server(decoding)
    assert p_value(made, expected, BATCHES) > 1e-3
    drafted = sum(sum(p.drafted) for p in made.engine.passes())
    assert 0 < sum(sum(p.accepted) for p in made.engine.passes()) < drafted


@pytest.mark.parametrize("judge", [accepting, redrawing])
@pytest.mark.parametrize("decoding", ["prompt_lookup:3:t1:5", "draft_model:3:t1:5"])
def test_a_biased_rule_is_found_out(decoding: str, judge: Judge, server: Callable[..., tuple[Desk, Tensor]]) -> None:
    assert p_value(*server(decoding, judge), batches=3) < 1e-9


def test_guesses_stand_until_the_first_that_falls() -> None:
    """By hand: the first has p 0.5 for q 0.5 and stands, the second 0.1 for 0.4 and falls at 0.3 ≥ 0.25."""
    target = torch.tensor([[[0.5, 0.5, 0.0], [0.6, 0.1, 0.3], [0.0, 0.0, 1.0]]])
    drafted = torch.tensor([[[0.5, 0.25, 0.25], [0.6, 0.4, 0.0]]])
    guesses = Guesses(torch.tensor([[0, 1]]), (2,), drafted)
    uniforms = torch.tensor([[0.0, 0.0, 0.0]])
    fell = rejection(target, guesses, torch.tensor([[0.99, 0.3]]), uniforms)
    assert (fell.accepted.tolist(), fell.following.tolist()) == ([1], [2])  # only there is p above q
    stood = rejection(target, guesses, torch.tensor([[0.99, 0.2]]), uniforms)
    assert (stood.accepted.tolist(), stood.following.tolist()) == ([2], [2])


def test_what_fills_up_is_no_guess() -> None:
    """Right by chance, it neither counts nor stands; and the token that follows is not drawn from a rest."""
    best = torch.tensor([[3, 4, 5], [3, 4, 5]])
    verdict = agreement(best, Guesses(torch.tensor([[3, 4], [3, 4]]), (2, 1)))
    assert (verdict.accepted.tolist(), verdict.following.tolist()) == ([2, 1], [5, 4])
    certain = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    unguessed = rejection(
        certain, Guesses(torch.tensor([[1]]), (0,)), torch.tensor([[0.5]]), torch.tensor([[0.5, 0.5]])
    )
    assert (unguessed.accepted.tolist(), unguessed.following.tolist()) == ([0], [1])
