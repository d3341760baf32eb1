"""Every broken collective is rejected on every case that it differs on, and every honest one passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.ranks.of_ranks import end_groups

from .checking import tally
from .collection import Collection
from .collectives import DEFECTS, HONEST, broken

IDS = ("S132-bf16", "S8200-fp32")
REDUCTIONS = (*IDS, "S264-fp32-avg", "S264-fp32-max")
CASES = {"all_reduce": REDUCTIONS, "reduce_scatter": REDUCTIONS, "all_gather": IDS, "all_to_all": IDS}


@pytest.fixture(scope="module", autouse=True)
def ranks() -> Iterator[None]:
    """One group for all tests here, which start it."""
    yield
    end_groups()


@pytest.mark.parametrize(("operator", "case_id"), [(name, one) for name, ids in CASES.items() for one in ids])
def test_told_apart(operator: str, case_id: str) -> None:
    defects = Collection(operator)
    for defect, applies in DEFECTS.items():
        defects.broken(applies)(broken(defect, operator))
    contract = discover().operators.get(operator)
    counted = tally(contract, contract.case_type.parse(case_id), [HONEST[operator]], defects)
    assert not counted.alarms
    assert not counted.through
    assert counted.broken > len(DEFECTS) // 2
