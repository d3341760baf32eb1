"""Code that rounds more than the contract lets it is told so, and may declare it; nothing wrong hides behind that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.registry import discover
from attnlab.bench.machine.clocks.wall import Wall
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.judging.refusals import SHARED_OUTPUT
from attnlab.bench.measuring.prepared_case import ONE_BUFFER
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

from . import declared, parts
from .checking import CPU, Checked, check, implementation_of

CASES = ("Hq4-Hkv2-Sq60-Sk130-D40-bf16", "Hq2-Sq130-D128-bf16-causal", "Hq4-Hkv2-Sq70-fp16-causal-outliers")
DECODES = ("B2-Hq4-Hkv2-C33..300-bf16-paged.16", "Hq4-Hkv2-C200-fp16-int8_token")


def checked(operator: str, case_id: str, target: type, rounds: str | None) -> Checked:
    contract = discover().operators.get(operator)
    made = replace(implementation_of(operator, target), rounds=rounds)
    return check(contract, contract.case_type.parse(case_id), made)


@pytest.mark.parametrize("case_id", CASES)
@pytest.mark.parametrize(
    ("target", "rounds"),
    [
        (declared.TransformersEager, "scores"),
        (declared.InItsOwnType, "scores"),
        (declared.ScaledFirst, "scaled_scores"),
    ],
)
def test_rounded_scores_are_told_and_pass_where_declared(case_id: str, target: type, rounds: str) -> None:
    found = checked("attention", case_id, target, rounds)
    assert (found.outcome, found.reason) == (Outcome.PASSED, None)
    assert found.record is not None
    assert found.record.rounds == rounds
    undeclared = checked("attention", case_id, target, None)
    assert undeclared.outcome is Outcome.WRONG_VALUES
    assert undeclared.reason is not None
    assert "the output fits scores rounded to the dtype" in undeclared.reason
    if "D40" in case_id or "D128" in case_id:  # scaling by a power of two rounds nothing
        assert f"declare rounds={rounds!r}" in undeclared.reason


@pytest.mark.parametrize("case_id", DECODES)
def test_rounded_scores_of_decoding(case_id: str) -> None:
    assert checked("decode_attention", case_id, declared.RoundedDecode, "scores").reason is None
    told = checked("decode_attention", case_id, declared.RoundedDecode, None)
    assert told.outcome is Outcome.WRONG_VALUES
    assert "declare rounds='scores'" in str(told.reason)


@pytest.mark.parametrize("target", declared.ABUSES)
@pytest.mark.parametrize("case_id", CASES[:2])
def test_nothing_wrong_hides_behind_the_declaration(case_id: str, target: type) -> None:
    if target is declared.OneKeyAheadBeside and "causal" not in case_id:
        pytest.skip("there is no key ahead")
    assert checked("attention", case_id, target, "scores").outcome is Outcome.WRONG_VALUES


def test_what_is_declared_and_not_done_is_told() -> None:
    found = checked("attention", CASES[1], declared.NothingRounded, "scores")
    assert "the output fits scores kept in float32: leave rounds='scores' out" in str(found.reason)


def test_a_rounding_that_no_contract_knows_is_refused() -> None:
    found = checked("attention", CASES[0], declared.TransformersEager, "everything")
    assert found.outcome is Outcome.FAILED
    assert "knows scores, scaled_scores" in str(found.reason)
    assert "knows none" in str(checked("linear", "N8-K16-fp32", parts.Linear, "scores").reason)


UNLIMITED = Ceilings("none", 1, 1e15, {"float32": 1e18}, None, 0.0)
SETUP = Setup(CPU, (Wall(),), UNLIMITED, Effort(1e-9, 5.0, 0.02, min_samples=2, max_samples=60))


class OneBuffer:
    """Returns the same tensor for all sets of inputs, as replays of a captured graph do."""

    def __init__(self) -> None:
        self._buffer = torch.empty(2, 16)
        self.calls = 0

    def run(self, inputs: Any, state: Any = None) -> Tensor:
        self.calls += 1
        return torch.matmul(inputs.x, inputs.weight.mT, out=self._buffer)


class BufferLeftAsItWas(OneBuffer):
    """Every third call writes nothing."""

    def run(self, inputs: Any, state: Any = None) -> Tensor:
        self.calls += 1
        return self._buffer if self.calls > 40 and self.calls % 3 == 0 else super().run(inputs)


def measured(target: Any, static_output: bool) -> Measurement:
    contract = discover().operators.get("linear")
    made = replace(implementation_of("linear", target), static_output=static_output)
    return measure(contract, contract.case_type.parse("M2-N16-K64-fp32"), made, SETUP)


def test_one_buffer_for_all_inputs_is_told_and_may_be_declared() -> None:
    refused = measured(OneBuffer, static_output=False)
    assert (refused.outcome, refused.reason) == (Outcome.WRONG_VALUES, SHARED_OUTPUT)
    passed = measured(OneBuffer, static_output=True)
    assert (passed.outcome, passed.reason) == (Outcome.PASSED, None)
    assert ONE_BUFFER in passed.flags
    assert passed.timing is not None
    assert passed.timing.copies == 1


def test_a_buffer_that_is_left_as_it_was_is_rejected_where_declared_too() -> None:
    assert measured(BufferLeftAsItWas, static_output=True).outcome is Outcome.WRONG_VALUES
