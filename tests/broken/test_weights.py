"""Every broken product with quantised weights is rejected on every case that it differs on; every honest one passes."""

from __future__ import annotations

import pytest

from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.contract import LINEAR

from .checking import tally
from .weights import HONEST, IDS, WEIGHTS


@pytest.mark.parametrize("case_id", IDS)
def test_told_apart(case_id: str) -> None:
    case = LinearCase.parse(case_id)
    assert case.id == case_id
    counted = tally(LINEAR, case, HONEST, WEIGHTS)
    assert not counted.alarms
    assert not counted.through


def test_every_defect_has_a_case_that_shows_it() -> None:
    cases = [LinearCase.parse(case_id) for case_id in IDS]
    assert [defect.name for defect in WEIGHTS if not any(defect.applies(case) for case in cases)] == []
