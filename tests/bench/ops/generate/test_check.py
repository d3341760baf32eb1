"""The check of generated tokens: what it must reject, what it must let through, on a tiny model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.llm.models.reference import reference_answers, reference_greedy, reference_logits
from attnlab.bench.llm.sampling_math import truncated_probabilities
from attnlab.bench.ops.generate import sharpness
from attnlab.bench.ops.generate.answers import Answers, answer_logits, judged
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.generate.faults import SideBySide, faults

CPU = torch.device("cpu")


def made(text: str) -> tuple[GenerateCase, GenerateInputs, Answers]:
    case = GenerateCase.parse(text)
    inputs = GENERATE.make_inputs(case, NORMAL_DRAW, 3, CPU)
    expected = GENERATE.check.expect(case, inputs)
    assert isinstance(expected, Answers)
    return case, inputs, expected


@pytest.fixture(scope="module")
def greedy() -> tuple[GenerateInputs, Answers, Tensor]:
    _, inputs, expected = made("toy-random-B3-P24-N10-fp32")
    return inputs, expected, reference_greedy(inputs.weights, inputs.prompts, 10)


def accepts(expected: Answers, tokens: Tensor) -> bool:
    return all(figure.within for figure in expected.judge([tokens]))


def test_the_right_answer_passes_and_every_probe_is_rejected(greedy: tuple[GenerateInputs, Answers, Tensor]) -> None:
    _, expected, right = greedy
    assert accepts(expected, right)
    assert set(expected.probes) == {"zeros", "every token one too large", "one token late", "the second best once"}
    assert expected.blunt == ()


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 9])
def test_one_other_token_anywhere_is_rejected(
    greedy: tuple[GenerateInputs, Answers, Tensor], row: int, place: int
) -> None:
    inputs, expected, right = greedy
    logits = reference_logits(inputs.weights, torch.cat([inputs.prompts, right], 1)[:, :-1], last=10)
    wrong = right.clone()
    wrong[row, place] = int(logits[row, place].argmin())
    assert not accepts(expected, wrong)


def test_answers_of_other_requests_and_ids_that_do_not_exist(greedy: tuple[GenerateInputs, Answers, Tensor]) -> None:
    _, expected, right = greedy
    assert not accepts(expected, right.roll(1, 0))
    for id in (-2, 512):
        wrong = right.clone()
        wrong[0, 0] = id
        assert [one.name for one in expected.judge([wrong]) if not one.within] == ["ids out of range"]


def test_a_near_tie_passes_within_the_noise_and_not_beyond(greedy: tuple[GenerateInputs, Answers, Tensor]) -> None:
    inputs, expected, right = greedy
    logits = reference_logits(inputs.weights, torch.cat([inputs.prompts, right], 1)[:, :-1], last=10)
    gaps = logits.topk(2, -1).values.diff(dim=-1).abs()[0, :, 0]
    second = right.clone()
    second[0, -1] = logits[0, -1].topk(2).indices[1]
    assert accepts(replace(expected, noise=float(gaps[-1]) / 4 + 1e-3), second)
    assert not accepts(replace(expected, noise=float(gaps[-1]) / 4 - 1e-3), second)


def test_sampled_answers_are_judged_by_their_likelihood() -> None:
    case, inputs, expected = made("toy-random-B12-P8-N12-sample.t0.9.k40-fp32")
    generator = torch.Generator().manual_seed(0)
    text = inputs.prompts
    for _ in range(case.new_tokens):
        p = truncated_probabilities(reference_logits(inputs.weights, text, last=1)[:, 0], case.decoding.params)
        text = torch.cat([text, torch.multinomial(p, 1, generator=generator)], 1)
    drawn = text[:, case.prompt_len :]
    assert accepts(expected, drawn)
    most_likely = reference_greedy(inputs.weights, inputs.prompts, case.new_tokens)
    assert not accepts(expected, most_likely), "greedy answers are likelier than drawn ones ever are"
    assert not accepts(expected, torch.randint(0, 512, drawn.shape, generator=generator))


def test_of_many_requests_some_are_read() -> None:
    assert judged(16) == list(range(16))
    assert judged(64)[0] == 0
    assert judged(64)[-1] == 63
    assert len(judged(64)) == len(set(judged(64))) == 16


@pytest.mark.parametrize(("place", "counts"), [(1, False), (20, True)])
def test_rounding_at_the_start_of_a_text_says_nothing_of_its_answers(
    place: int, counts: bool, greedy: tuple[GenerateInputs, Answers, Tensor]
) -> None:
    inputs, expected, right = greedy
    text = torch.cat([inputs.prompts[:1], right[:1]], 1)[:, :-1]
    want = reference_logits(inputs.weights, text)
    got = want.clone()
    got[:, place] = -got[:, place]
    rms, _ = sharpness._budget_of_logs(expected.case, want, got)
    assert (rms > 100 * sharpness.LOGS_FLOOR["float32"]) == counts


@pytest.mark.parametrize("model", ["toy-random", "toy_gemma3-random"])
def test_several_answers_to_one_prompt_are_read_as_each_alone(model: str) -> None:
    _, inputs, _ = made(f"{model}-B1-P24-N10-fp32")
    answers = torch.randint(0, inputs.weights.config.vocab_size, (3, 10), generator=torch.Generator().manual_seed(0))
    together = reference_answers(inputs.weights, inputs.prompts[0], answers)
    for answer, logits in zip(answers, together, strict=True):
        torch.testing.assert_close(logits, answer_logits(inputs.weights, inputs.prompts[0], answer))
    torch.testing.assert_close(
        reference_answers(inputs.weights, inputs.prompts[0], answers[:, :1])[:, 0], together[:, 0]
    )


def test_faults_side_by_side_are_read_as_each_alone() -> None:
    _, inputs, _ = made("toy-random-B3-P24-N10-fp32")
    text = torch.randint(0, 512, (3, 33), generator=torch.Generator().manual_seed(0))
    tried = tuple(faults(24, 10, 3, 16))
    together = reference_logits(inputs.weights, text.repeat(len(tried), 1), last=10, reading=SideBySide(tried, 3))
    for fault, logits in zip(tried, together.split(3), strict=True):
        torch.testing.assert_close(
            logits, reference_logits(inputs.weights, text, last=10, reading=fault), msg=fault.name
        )
