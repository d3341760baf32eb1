"""Every broken part of a decoder is rejected on every case that it differs on, and every honest one passes."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.contract.registry import discover
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.store.records import Outcome

from .checking import check, implementation_of, tally
from .parts import DEFECTS, HONEST, IDS


@pytest.mark.parametrize(("operator", "case_id"), [(name, case_id) for name, ids in IDS.items() for case_id in ids])
def test_told_apart(operator: str, case_id: str) -> None:
    contract = discover().operators.get(operator)
    case = contract.case_type.parse(case_id)
    assert case.id == case_id
    counted = tally(contract, case, HONEST[operator], DEFECTS[operator])
    assert not counted.alarms
    assert not counted.through


@pytest.mark.parametrize("operator", IDS)
def test_every_defect_has_a_case_that_shows_it(operator: str) -> None:
    kind = discover().operators.get(operator).case_type
    cases = [kind.parse(case_id) for case_id in IDS[operator]]
    assert [defect.name for defect in DEFECTS[operator] if not any(defect.applies(case) for case in cases)] == []


@pytest.mark.parametrize(
    ("operator", "case_id", "seed"),
    [
        ("rmsnorm", "M1-N4099-fp16-outliers", 939134610),  # one number makes up the whole norm
        ("rmsnorm", "M1-N100-fp16", 97391164),
        ("gelu", "M1-N2-bf16-outliers", 634888854),  # all that is left far below zero is rounding
        ("gelu", "M1-N1-fp16", 188051426),
        ("swiglu", "M1-N1-fp32", 793633214),
    ],
)
def test_a_row_of_few_numbers_is_judged_and_honest_code_passes(operator: str, case_id: str, seed: int) -> None:
    contract = discover().operators.get(operator)
    case, court = contract.case_type.parse(case_id), Court(torch.device("cpu"))
    for target in HONEST[operator]:
        assert check(contract, case, implementation_of(operator, target), seed, court).outcome is Outcome.PASSED
