"""A new operator without cases is found here; the toys show that each thing it may lack is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench.contract.registry import Registry, discover
from attnlab.bench.store.records import Outcome

from . import cases
from .conftest import Conform


def test_every_operator_has_what_its_implementations_are_held_to() -> None:
    assert cases.lacking(discover()) == []


@pytest.mark.parametrize("operator", cases.OF_OPERATOR)
def test_the_eager_implementation_serves(operator: str, conform: Conform) -> None:
    """Where every implementation gave a reason why not, all of them would pass."""
    case_set = cases.OF_OPERATOR[operator]
    case = discover().operators.get(operator).case_type.parse(min(case_set.all, key=len))
    assert conform(operator, case_set.eager, case, "cpu") == (Outcome.PASSED, None)


@pytest.fixture
def scratch() -> Registry:
    """A registry of its own with a toy operator, which is gelu under another name."""
    own, known = Registry(), discover()
    own.operators.add("toy", replace(known.operators.get("gelu"), name="toy"), "attnlab.bench.ops.toy")
    for made in known.implementations("gelu"):
        own.add_implementation(replace(made, operator="toy"))
    return own


def test_a_toy_operator_without_cases(scratch: Registry) -> None:
    assert cases.lacking(scratch) == ["toy has no cases; add them to OF_OPERATOR"]


@pytest.mark.parametrize(
    ("case_set", "said"),
    [
        (cases.CaseSet(()), "toy has no cases; add"),
        (cases.CaseSet(cases.GELU, ("M7-N65-bf16",), eager="tiled"), "toy has no implementation tiled; add"),
        (cases.CaseSet(cases.GELU), "toy has no cases for what compiles"),
        (cases.CaseSet(cases.GELU, ("M7-N65-bf16",)), "toy has no cases for Triton's interpreter"),
    ],
)
def test_a_toy_operator_with_some_cases(
    case_set: cases.CaseSet, said: str, scratch: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cases.OF_OPERATOR, "toy", case_set)
    if "interpreter" not in said:
        monkeypatch.setattr(cases, "INTERPRETED_TOGETHER", ({"toy": cases.GELU_INTERPRETED},))
    (sentence,) = cases.lacking(scratch)
    assert sentence.startswith(said)


def test_an_operator_of_a_plugin_is_tested_by_the_plugin(scratch: Registry) -> None:
    toy = scratch.operators.get("toy")
    scratch.operators.discard("toy")
    scratch.operators.add("toy", toy, "mypackage.ops")
    assert cases.lacking(scratch) == []
