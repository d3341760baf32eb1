"""Every broken scorer of texts is rejected on every case that it differs on, and an honest one passes."""

from __future__ import annotations

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.ops.perplexity.contract import PERPLEXITY

from .checking import check, implementation_of, tally
from .judging_texts import HONEST, IDS, PERPLEXITY_DEFECTS


@pytest.mark.parametrize("case_id", IDS)
def test_told_apart(case_id: str) -> None:
    discover()
    case = PERPLEXITY.case_type.parse(case_id)
    assert case.id == case_id
    counted = tally(PERPLEXITY, case, HONEST, PERPLEXITY_DEFECTS)
    assert not counted.through
    assert [told for told in counted.alarms if "PASSED" not in told and "None, blunt" not in told] == []


def test_every_defect_has_a_case_that_shows_it() -> None:
    cases = [PERPLEXITY.case_type.parse(case_id) for case_id in IDS]
    assert [defect.name for defect in PERPLEXITY_DEFECTS if not any(map(defect.applies, cases))] == []


def test_activations_as_they_are_are_told_apart_or_flagged() -> None:
    """In float32 the check sees that they have no codes; what bfloat16 rounds hides it, and is said to."""
    blunt = {}
    for case_id in ("toy-random-W40-n2-fp32-w_int8_dynamic", "toy-random-W40-n2-bf16-w_int8_dynamic"):
        case = PERPLEXITY.case_type.parse(case_id)
        record = check(PERPLEXITY, case, implementation_of("perplexity", HONEST[0])).record
        assert record is not None
        assert {"activations as they are", "one layer's weights as they are"} <= set(record.probes)
        blunt[case.dtype] = set(record.blunt)
    assert blunt["float32"] == set()
    assert "activations as they are" in blunt["bfloat16"]
