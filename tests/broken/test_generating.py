"""Every broken decoder is rejected on every case that it differs on, and ours pass."""

from __future__ import annotations

import pytest

from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE

from .checking import tally
from .generating import GENERATE_DEFECTS, Decodes

IDS = (
    "toy-random-P21-N4-fp32",
    "toy-random-B2-P21-N4-paged.16-bf16",
    "toy-random-P21-N4-prompt_lookup.2-bf16",
    "toy-random-B2-P70-N3-paged.16-fp32-continuous",
)


@pytest.mark.parametrize("case_id", IDS)
def test_told_apart(case_id: str) -> None:
    case = GenerateCase.parse(case_id)
    counted = tally(GENERATE, case, (Decodes,), GENERATE_DEFECTS)
    assert not counted.alarms
    assert not counted.through


def test_every_defect_has_a_case_that_shows_it() -> None:
    cases = [GenerateCase.parse(case_id) for case_id in IDS]
    assert [defect.name for defect in GENERATE_DEFECTS if not any(defect.applies(case) for case in cases)] == []
