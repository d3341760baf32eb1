"""Every broken decoder of Qwen3, the Gemmas and gpt-oss is rejected, and ours pass."""

from __future__ import annotations

import pytest

from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE

from .checking import tally
from .families import FAMILY_DEFECTS
from .generating import Decodes

IDS = (
    "toy_gemma2-random-P21-N4-fp32",
    "toy_gemma3-random-B2-P21-N4-paged.16-bf16",
    "toy_gpt_oss-random-B2-P21-N4-fp32",
    "toy_qwen3-random-P21-N4-fp32",
)


@pytest.mark.parametrize("case_id", IDS)
def test_told_apart(case_id: str) -> None:
    counted = tally(GENERATE, GenerateCase.parse(case_id), (Decodes,), FAMILY_DEFECTS)
    assert not counted.alarms
    assert not counted.through


def test_every_defect_has_a_case_that_shows_it() -> None:
    cases = [GenerateCase.parse(case_id) for case_id in IDS]
    assert [defect.name for defect in FAMILY_DEFECTS if not any(defect.applies(case) for case in cases)] == []
