"""An operator's word on what is stored: the case of a measurement, whatever version wrote it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from attnlab.bench.contract.axes import Case, dtype_axis, size
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import import_operators, registry
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.store.records import Measurement, Outcome


@dataclass(frozen=True)
class Toy(Case):
    rows: int = size("R", help="rows", default=4)
    columns: int = size("C", help="columns", default=8)
    dtype: str = dtype_axis()


def stored(case: dict[str, Any]) -> Measurement:
    return Measurement("toy", "mine", case, "bf16", Outcome.PASSED)


@pytest.fixture
def toy() -> Operator[Any, Any]:
    import_operators()
    return replace(registry.operators.get("gelu"), case_type=Toy)


def test_the_case_of_a_measurement(toy: Operator[Any, Any]) -> None:
    case = Toy(rows=2, columns=16, dtype="float32")
    assert toy.case_of(stored(case.values())) == case


def test_an_axis_of_later_is_at_its_default_and_one_that_is_gone_is_left_out(toy: Operator[Any, Any]) -> None:
    assert toy.case_of(stored({"rows": 2, "dtype": "float16", "depth": 3})) == Toy(rows=2, dtype="float16")


def test_a_case_that_can_be_no_more(toy: Operator[Any, Any]) -> None:
    with pytest.raises(ImpossibleCase, match="axis rows"):
        toy.case_of(stored({"rows": 0}))


def test_it_is_the_case_of_the_id_for_every_operator() -> None:
    import_operators()
    for name in registry.operators.names():
        operator = registry.operators.get(name)
        case = operator.case_type()
        assert operator.case_of(stored(case.values())) == operator.case_type.parse(case.id) == case
