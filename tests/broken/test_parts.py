"""Every broken part of a decoder is rejected on every case that it differs on, and every honest one passes."""

from __future__ import annotations

import pytest

from attnlab.bench.registry import discover

from .checking import tally
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
