"""Speculative decoding: the text of plain decoding, in fewer passes, and a log that says how many guesses stood."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from attnlab.bench.llm.generation.events import Pass
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.ops.generate.case import GenerateCase, GenerateOutputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.impls.generate._engine.decoding.draft_model import draft_layers
from attnlab.impls.generate._engine.decoding.prompt_lookup import NgramIndex
from attnlab.impls.generate.naive import Naive

Tiny = Callable[..., ModelWeights]
Answer = Callable[..., GenerateOutputs]

NEW = 24
PROMPT = 14
METHODS = ("prompt_lookup", "draft_model")


def prompts() -> Tensor:
    """Three of 14 ids below 24: a short run over and over, one id and others in turn, and no order at all."""
    drawn = torch.randint(24, (PROMPT,), generator=torch.Generator().manual_seed(2))
    return torch.stack([torch.tensor([5, 9, 1, 17, 3, 8, 2] * 2), torch.tensor([4, 11] * 7), drawn])


def judged(passes: tuple[Pass, ...]) -> tuple[int, int]:
    """Guesses, and how many of them stood."""
    return sum(sum(p.drafted) for p in passes), sum(sum(p.accepted) for p in passes)


@pytest.mark.parametrize("guesses", [1, 3, 6])
@pytest.mark.parametrize("method", METHODS)
def test_greedy_text_is_that_of_plain_decoding(method: str, guesses: int, tiny: Tiny, answer: Answer) -> None:
    """Alone and in a batch, where each sequence goes on at its own pace and some are done before others."""
    weights, drafted, accepted = tiny(24, layers=3), 0, 0
    plain = answer(weights, prompts(), new_tokens=NEW, decoding="greedy").tokens
    together = answer(weights, prompts(), new_tokens=NEW, decoding=f"{method}:{guesses}")
    assert together.tokens.tolist() == plain.tolist()
    for row in range(3):
        alone = answer(weights, prompts()[row : row + 1], new_tokens=NEW, decoding=f"{method}:{guesses}")
        assert alone.tokens.tolist() == plain[row : row + 1].tolist()
        drafted, accepted = (a + b for a, b in zip((drafted, accepted), judged(alone.log.passes), strict=True))
    assert judged(together.log.passes) == (drafted, accepted)
    assert 0 < accepted < drafted


@pytest.mark.parametrize(
    ("layout", "cache"), [("paged:4", "same"), ("contiguous_bshd", "int8_token"), ("paged_hsd:8", "int8_channel")]
)
@pytest.mark.parametrize("method", METHODS)
def test_guesses_are_taken_back_from_every_cache(
    method: str, layout: str, cache: str, tiny: Tiny, answer: Answer
) -> None:
    axes = {"new_tokens": NEW, "layout": layout, "cache": cache}
    plain = answer(tiny(24), prompts(), decoding="greedy", **axes).tokens
    found = answer(tiny(24), prompts(), decoding=f"{method}:3", **axes)
    assert found.tokens.tolist() == plain.tolist()
    assert 0 < judged(found.log.passes)[1] < judged(found.log.passes)[0]


@pytest.mark.parametrize("method", METHODS)
def test_guesses_count_as_seen_where_repetition_is_penalised(method: str, tiny: Tiny, answer: Answer) -> None:
    """Greedy with a penalty, whose text depends on every token before it, the guesses of a pass among them."""
    plain = answer(tiny(24), prompts(), new_tokens=NEW, decoding="sample:t0:r1:2").tokens
    assert plain.tolist() != answer(tiny(24), prompts(), new_tokens=NEW, decoding="greedy").tokens.tolist()
    found = answer(tiny(24), prompts(), new_tokens=NEW, decoding=f"{method}:3:t0:r1:2")
    assert found.tokens.tolist() == plain.tolist()
    assert 0 < judged(found.log.passes)[1] < judged(found.log.passes)[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_sampled_answer_is_the_same_in_every_batch(method: str, tiny: Tiny, answer: Answer) -> None:
    """And for one seed the same again, for another seed another."""
    weights, decoding, same = tiny(24), f"{method}:3:t1:p0:9", prompts()[:1].expand(3, -1)
    together = answer(weights, same, seed=5, new_tokens=NEW, decoding=decoding).tokens.tolist()
    first = answer(weights, same[:1], seed=5, new_tokens=NEW, decoding=decoding).tokens.tolist()
    assert together[0] == first[0]
    assert len({tuple(row) for row in together}) == 3
    assert answer(weights, same[:1], seed=6, new_tokens=NEW, decoding=decoding).tokens.tolist() != first


@pytest.mark.parametrize("decoding", ["prompt_lookup:3", "draft_model:3", "prompt_lookup:2:t1:k40", "draft_model:2:t1"])
def test_the_contract_accepts_the_answers(decoding: str) -> None:
    """By the reference's own reading, on a model with 512 tokens; an answer with one token changed is rejected."""
    case = GenerateCase.parse(f"toy-random-B2-P24-N40-{decoding}-fp32")
    inputs = GENERATE.make_inputs(case, "normal", 1, torch.device("cpu"))
    made = Naive()
    found = made.run(inputs, made.prepare(case, inputs))
    assert judged(found.log.passes)[0] > 0
    expected = GENERATE.check.expect(case, inputs)
    assert all(one.within for one in expected.judge([found.tokens]))
    if case.decoding.greedy:
        assert not expected.blunt
        found.tokens[0, 11] = (found.tokens[0, 11] + 1) % 512
        assert not all(one.within for one in expected.judge([found.tokens]))


def test_a_draft_that_is_the_model_itself_is_always_right(answer: Answer) -> None:
    """So its cache keeps in step with the text, also where all guesses of a pass stood."""
    case = GenerateCase.parse("toy-random-B3-P12-N18-draft_model:4-fp32-by_toy")
    inputs = GENERATE.make_inputs(case, "normal", 0, torch.device("cpu"))
    made = Naive()
    log = made.run(inputs, made.prepare(case, inputs)).log
    verified = [p for p in log.passes if p.kind == "verify"]
    assert [p.drafted for p in verified] == [p.accepted for p in verified] == [(4, 4, 4)] * 3 + [(1, 1, 1)]
    assert all(request.tokens == (1, 6, 11, 16, 18) for request in log.requests)


def test_a_draft_stored_in_a_format_guesses_as_the_format_has_it() -> None:
    """The model itself as its draft: in 8 bits often right, in ternary codes hardly ever; the text is the same."""
    rates, texts = [], set()
    for stored in ("same", "int8_dynamic", "int1_58"):
        case = GenerateCase.parse(f"toy-random-B3-P12-N40-draft_model:3-fp32-by_toy-dw_{stored}")
        inputs = GENERATE.make_inputs(case, "normal", 0, torch.device("cpu"))
        made = Naive()
        found = made.run(inputs, made.prepare(case, inputs))
        drafted, accepted = judged(found.log.passes)
        rates.append(accepted / drafted)
        texts.add(str(found.tokens.tolist()))
    assert rates[0] == 1 > rates[1] > 2 * rates[2]
    assert len(texts) == 1


@pytest.mark.parametrize("method", METHODS)
def test_the_log_tells_passes_apart(method: str, tiny: Tiny, answer: Answer) -> None:
    weights = tiny(24, layers=4)
    log = answer(weights, prompts()[:1], new_tokens=NEW, decoding=f"{method}:3").log
    kinds, (request,) = [p.kind for p in log.passes], log.requests
    verified = [p for p in log.passes if p.kind == "verify"]
    chunks = [after - before for before, after in pairwise(request.tokens)]
    assert request.tokens[-1] == NEW == 1 + sum(chunks)
    target = [p for p in log.passes if p.kind in ("verify", "decode")]
    assert chunks == [1 + sum(p.accepted) for p in target]
    assert all(p.rows == (4 if p.kind == "verify" else 1) for p in target)
    assert all(p.drafted == () for p in log.passes if p.kind != "verify")
    if method == "draft_model":
        assert kinds[:6] == ["prefill", "draft", "draft", "draft", "draft", "verify"]
        assert [p.rows for p in log.passes[1:5]] == [PROMPT, 2, 1, 1]
        draft_bytes = max(p.read_bytes for p in log.passes if p.kind == "draft")
        assert draft_bytes < min(p.read_bytes for p in verified)
        own = 4 * weights.skipping(draft_layers(4)).config.parameters
        assert draft_bytes > own
    plain = answer(weights, prompts()[:1], new_tokens=NEW, decoding=f"{METHODS[0]}:3").log.counts["cache"]
    assert (log.counts["cache"] > plain) == (method == "draft_model")


def test_no_guess_is_made_for_the_last_token(tiny: Tiny, answer: Answer) -> None:
    """A pass gives one token without any guess, so that none could be of use."""
    found = answer(tiny(24), prompts(), new_tokens=2, decoding="draft_model:4").log
    assert [p.kind for p in found.passes if p.kind != "draft"] == ["prefill", "decode"]
    single = answer(tiny(24), prompts(), new_tokens=1, decoding="prompt_lookup:4")
    assert single.tokens.shape == (3, 1)
    assert [p.kind for p in single.log.passes] == ["prefill"]


def test_what_followed_last_is_guessed() -> None:
    index = NgramIndex()
    assert index.continuation([1, 2, 3], 2) is None
    assert index.continuation([1, 2, 3, 1], 2) is None  # a single token says too little
    assert index.continuation([1, 2, 3, 1, 2], 1) == [3]
    assert index.continuation([1, 2, 3, 1, 2, 4, 1, 2], 3) == [4, 1, 2]  # the later of two
    assert NgramIndex().continuation([7, 1, 2, 5, 9, 1, 2, 6, 7, 1, 2], 2) == [5, 9]  # the longer of two
    assert NgramIndex().continuation([1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]  # a run goes on
    assert NgramIndex().continuation([8, 8, 8], 3) == [8, 8, 8]
