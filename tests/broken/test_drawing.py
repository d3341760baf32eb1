"""Every broken sampler of answers is rejected on every case that it differs on, and ours pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.generate.exams import EXAMS, THIRD
from attnlab.bench.store.records import Outcome
from attnlab.impls.generate._engine.adapter import EngineAdapter

from .checking import CPU, check, implementation_of
from .drawing import DRAWING_DEFECTS

ID = "toy-random-B2-P9-N3-sample.t0.8.k5.p0.97-fp32"
ROUNDED = "toy-random-P9-N3-sample.t0.8.p0.95-bf16"
FOUND_IN_ROUNDED = ("TopPIgnored", "TwentyPercentHot", "OneNumberForAllPlaces")


MANY, SEED, COURT = replace(GENERATE, needle_draws=1), THIRD - 3 + EXAMS, Court(CPU)  # no other needles


class Right(EngineAdapter):
    """Nothing is wrong with it."""


@pytest.mark.parametrize("case_id", [ID, ROUNDED])
def test_told_apart(case_id: str) -> None:
    case = GenerateCase.parse(case_id)
    defects = [one for one in DRAWING_DEFECTS if case_id == ID or one.name in FOUND_IN_ROUNDED]
    found = {one.name: check(MANY, case, one.implementation, SEED, COURT).outcome for one in defects}
    assert {name for name, outcome in found.items() if outcome is not Outcome.WRONG_VALUES} == set()
    checked = check(MANY, case, implementation_of("generate", Right), SEED, COURT)
    assert (checked.outcome, checked.reason) == (Outcome.PASSED, None)
    assert checked.record is not None
    assert {"temperature 20 % high", "top-p ignored", "one number for all places"} <= set(checked.record.probes)
    assert not {"temperature 20 % high", "top-p ignored", "one number for all places"} & set(checked.record.blunt)


def test_every_defect_has_a_case_that_shows_it() -> None:
    case = GenerateCase.parse(ID)
    assert [defect.name for defect in DRAWING_DEFECTS if not defect.applies(case)] == []
