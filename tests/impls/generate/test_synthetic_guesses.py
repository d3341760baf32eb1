"""Guesses that no drafter makes: right as often as was chosen, at a cost that was chosen, and marked as such."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import pytest
import torch

from attnlab.bench import UsageError
from attnlab.bench.contract.operator_spec import Span
from attnlab.bench.llm.generation.events import Pass
from attnlab.bench.llm.generation.synthetic import NOTE
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.generate.witness import attest
from attnlab.impls.generate._engine.decoding.synthetic import plain_pass_ns
from attnlab.impls.generate._engine.decoding_method import DecodingContext
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate.naive import Naive

CPU = torch.device("cpu")
A_CASE = "toy-random-B4-P12-N48-{}-fp32"


def made(decoding: str, seed: int = 0, **changed: object) -> tuple[GenerateCase, GenerateInputs, GenerateOutputs]:
    case = replace(GenerateCase.parse(A_CASE.format(decoding)), **changed)  # type: ignore[arg-type]
    inputs = GENERATE.make_inputs(case, "normal", seed, CPU)
    naive = Naive()
    return case, inputs, naive.run(inputs, naive.prepare(case, inputs))


def reached(passes: list[Pass], place: int) -> tuple[int, int]:
    """How often the guess at a place was looked at, all before it being right, and how often it was right."""
    pairs = [pair for p in passes for pair in zip(p.drafted, p.accepted, strict=True)]
    return sum(d > place and a >= place for d, a in pairs), sum(d > place and a > place for d, a in pairs)


def test_the_text_is_that_of_plain_decoding_whatever_the_guesses() -> None:
    case, inputs, found = made("synthetic:3:a0.7")
    plain = replace(case, decoding=case.decoding.read("greedy"))
    naive = Naive()
    assert found.tokens.tolist() == naive.run(inputs, naive.prepare(plain, inputs)).tokens.tolist()
    assert inputs.foretold is not None
    assert found.tokens.tolist() == inputs.foretold.tolist()


def test_guesses_are_right_as_often_as_was_chosen_at_each_place() -> None:
    """Within four standard deviations, over the answers to several draws; coins differ from prompt to prompt."""
    chances = (0.9, 0.5, 0.75)
    passes = [p for seed in range(5) for p in made("synthetic:3:a0.9:a0.5:a0.75", seed)[2].log.passes]
    for place, chance in enumerate(chances):
        tried, right = reached(passes, place)
        assert tried > 100
        assert abs(right / tried - chance) < 4 * (chance * (1 - chance) / tried) ** 0.5
    assert len({p.accepted for p in passes if p.drafted}) > 4


@pytest.mark.parametrize(("chance", "share"), [("a1", 1.0), ("a0", 0.0)])
def test_certain_guesses(chance: str, share: float) -> None:
    passes = made(f"synthetic:4:{chance}")[2].log.passes
    assert all(p.accepted == tuple(round(share * d) for d in p.drafted) for p in passes if p.drafted)
    assert len(passes) == 1 + (47 if not share else 10)  # the prompt, and 47 tokens one by one or by fives


def test_a_cost_is_waited_for_and_logged_as_the_passes_of_a_draft() -> None:
    _, _, found = made("synthetic:2:a0:c40", new_tokens=6)
    kinds = [p.kind for p in found.log.passes]
    assert kinds == ["prefill"] + ["draft", "draft", "verify"] * 3 + ["draft", "verify", "decode"]
    drafts = [p for p in found.log.passes if p.kind == "draft"]
    assert all(p.read_bytes == 0 and p.rows == 4 for p in drafts)
    assert min(p.elapsed_ns for p in drafts) > 10 * median(p.elapsed_ns for p in found.log.passes if p.kind == "verify")


def test_a_draft_that_runs_takes_its_time_and_is_not_listened_to() -> None:
    """The model itself as the draft, which would always be right."""
    passes = made("synthetic:2:a0", draft="toy")[2].log.passes
    assert sum(p.kind == "draft" for p in passes) > 47
    assert not any(any(p.accepted) for p in passes)


def test_it_is_marked_as_what_it_is() -> None:
    begun_ns = time.perf_counter_ns()
    case, inputs, found = made("synthetic:2:a1")
    assert attest(case, inputs, found, Span(begun_ns, 1e12, 1.0))[1] == (NOTE,)
    case, inputs, found = made("prompt_lookup:2")
    assert inputs.foretold is None
    assert attest(case, inputs, found, Span(begun_ns, 1e12, 1.0))[1] == ()


def test_another_draw_has_other_answers_foretold() -> None:
    case, inputs, _ = made("synthetic:2:a1")
    other = GENERATE.redrawn(case, inputs, 9) if GENERATE.redrawn else inputs
    again = GENERATE.make_inputs(case, "normal", 9, CPU)
    assert other.foretold is not None
    assert again.foretold is not None
    assert inputs.foretold is not None
    assert torch.equal(other.foretold, again.foretold)
    assert not torch.equal(other.foretold, inputs.foretold)


def test_without_answers_it_says_so() -> None:
    case, inputs, _ = made("synthetic:2:a1")
    naive = Naive()
    with pytest.raises(UsageError, match="no answers for synthetic guesses"):
        naive.run(replace(inputs, foretold=None), naive.prepare(case, inputs))


def test_the_plain_pass_is_measured_on_an_engine_that_is_as_new_afterwards(
    tiny: Callable[..., ModelWeights], prepare: Callable[..., object]
) -> None:
    runner = prepare(tiny(24), torch.zeros(2, 8, dtype=torch.int64), new_tokens=4)
    case = GenerateCase.parse("toy-random-B2-P8-N4-synthetic.2.a1-fp32")
    engine = runner.engine  # type: ignore[attr-defined]
    assert plain_pass_ns(DecodingContext(case, tiny(24), Parts(), engine)) > 0
    assert engine.lengths == [0, 0]
    assert engine.passes() == []
