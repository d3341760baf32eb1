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
from attnlab.impls.generate._engine.batching import BatchRunner
from attnlab.impls.generate._engine.decoding._speculation import AcceptanceRule, SpeculativeDecoding
from attnlab.impls.generate._engine.decoding._verification import (
    Acceptance,
    DraftTokens,
    greedy_acceptance,
    rejection_sampling,
)

VOCABULARY = 6
TOKENS = 3  # whose joint distribution is tested, of answers two longer
PROMPT = torch.tensor([4, 0, 2, 4, 1, 3, 4, 2, 5, 4, 3, 1, 4, 5, 0, 4, 4])  # something followed 4 and any token
BATCH, BATCHES = 1024, 20
LEAST_EXPECTED = 5.0  # draws of a cell; rarer ones are taken together

Tiny = Callable[..., ModelWeights]
Prepare = Callable[..., BatchRunner]
MakeRunner = Callable[..., tuple[BatchRunner, Tensor]]


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


def p_value(runner: BatchRunner, expected: Tensor, batches: int) -> float:
    """Of many answers to one prompt, each with random numbers of its own; 0 where one was impossible."""
    count = BATCH * batches
    recorder = Recorder([0.0] * count, [PROMPT.tolist()] * count)
    drawn = torch.zeros(len(expected), dtype=torch.int64)
    place = VOCABULARY ** torch.arange(TOKENS - 1, -1, -1)
    for first in range(0, count, BATCH):
        runner.engine.reset()
        tokens = runner.method.generate(recorder, range(first, first + BATCH), seed=11)
        drawn += (tokens[:, :TOKENS] * place).sum(1).bincount(minlength=len(expected))
    if int(drawn[expected == 0].sum()):
        return 0.0
    often = expected * count >= LEAST_EXPECTED
    observed = [*drawn[often].tolist(), int(drawn[~often].sum())]
    likely = torch.cat([expected[often], expected[~often].sum()[None]]) * count
    if likely[-1] < LEAST_EXPECTED:
        observed, likely = [*observed[:-2], sum(observed[-2:])], torch.cat([likely[:-2], likely[-2:].sum()[None]])
    return float(chisquare(observed, (likely * (count / likely.sum())).numpy()).pvalue)


def accepting(target: Tensor, drafts: DraftTokens, chances: Tensor, uniforms: Tensor) -> Acceptance:
    """Wrong: every guess stands."""
    return rejection_sampling(target, drafts, torch.full_like(chances, -1.0), uniforms)


def redrawing(target: Tensor, drafts: DraftTokens, chances: Tensor, uniforms: Tensor) -> Acceptance:
    """Wrong: for a guess that fell a token is drawn from the target itself, which may give the guess again."""
    accepted = rejection_sampling(target, drafts, chances, uniforms).counts
    left = target[torch.arange(len(accepted)), accepted]
    return Acceptance(accepted, draw(left, uniforms.gather(1, accepted[:, None]))[:, 0])


@pytest.fixture
def runner(tiny: Tiny, prepare: Prepare) -> MakeRunner:
    """runner(decoding, rule) -> our decoder for it, and the exact joint distribution."""

    def make(decoding: str, rule: AcceptanceRule = rejection_sampling) -> tuple[BatchRunner, Tensor]:
        weights = tiny(VOCABULARY, seed=4)
        made = prepare(weights, PROMPT.expand(BATCH, -1), new_tokens=TOKENS + 2, decoding=decoding)
        assert isinstance(made.method, SpeculativeDecoding)
        made.method.rule = rule
        return made, exact_joint(weights, made.method.params)

    return make


@pytest.mark.parametrize("decoding", ["prompt_lookup:3:t1:5", "draft_model:3:t1:5", "draft_model:2:t1:k4:r1:3"])
def test_the_joint_distribution_is_exact(decoding: str, runner: MakeRunner) -> None:
    made, expected = runner(decoding)
    assert p_value(made, expected, BATCHES) > 1e-3
    drafted = sum(sum(p.drafted) for p in made.engine.passes())
    assert 0 < sum(sum(p.accepted) for p in made.engine.passes()) < drafted


@pytest.mark.parametrize("rule", [accepting, redrawing])
@pytest.mark.parametrize("decoding", ["prompt_lookup:3:t1:5", "draft_model:3:t1:5"])
def test_a_biased_rule_is_found_out(decoding: str, rule: AcceptanceRule, runner: MakeRunner) -> None:
    assert p_value(*runner(decoding, rule), batches=3) < 1e-9


def test_guesses_stand_until_the_first_that_falls() -> None:
    """By hand: the first has p 0.5 for q 0.5 and stands, the second 0.1 for 0.4 and falls at 0.3 ≥ 0.25."""
    target = torch.tensor([[[0.5, 0.5, 0.0], [0.6, 0.1, 0.3], [0.0, 0.0, 1.0]]])
    drafted = torch.tensor([[[0.5, 0.25, 0.25], [0.6, 0.4, 0.0]]])
    drafts = DraftTokens(torch.tensor([[0, 1]]), (2,), drafted)
    uniforms = torch.tensor([[0.0, 0.0, 0.0]])
    fell = rejection_sampling(target, drafts, torch.tensor([[0.99, 0.3]]), uniforms)
    assert (fell.counts.tolist(), fell.next_ids.tolist()) == ([1], [2])  # only there is p above q
    stood = rejection_sampling(target, drafts, torch.tensor([[0.99, 0.2]]), uniforms)
    assert (stood.counts.tolist(), stood.next_ids.tolist()) == ([2], [2])


def test_what_fills_up_is_no_guess() -> None:
    """Right by chance, it neither counts nor stands; and the token that follows is not drawn from a rest."""
    best = torch.tensor([[3, 4, 5], [3, 4, 5]])
    verdict = greedy_acceptance(best, DraftTokens(torch.tensor([[3, 4], [3, 4]]), (2, 1)))
    assert (verdict.counts.tolist(), verdict.next_ids.tolist()) == ([2, 1], [5, 4])
    certain = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    unguessed = rejection_sampling(
        certain, DraftTokens(torch.tensor([[1]]), (0,)), torch.tensor([[0.5]]), torch.tensor([[0.5, 0.5]])
    )
    assert (unguessed.counts.tolist(), unguessed.next_ids.tolist()) == ([0], [1])
