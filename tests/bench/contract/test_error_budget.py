"""The error budget: what is allowed, over what it is taken, and that a broken check is found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import (
    CAP_ROUNDOFFS,
    EPSILON,
    FLOOR_ROUNDOFFS,
    LUCK,
    MARGIN,
    MAX_OVER_RMS,
    ErrorBudget,
    Probe,
    Scale,
    YardstickOutput,
    heads_permuted,
    root_mean_square,
    zeros,
)
from attnlab.bench.errors import MeasurementError
from attnlab.bench.store.deviations import Deviation

WANT = torch.full((2, 8, 8), 2.0, dtype=torch.float64)
ZEROS = Probe("zeros", lambda case: True, zeros)


@dataclass(frozen=True)
class Sum:
    """An operator of no input: the oracle gives `want`, the yardstick is off by `error` in every element."""

    error: float = 0.0
    dtype: str = "bfloat16"
    want: Tensor = field(default_factory=WANT.clone)
    terms: Tensor | None = None


def budget(*probes: Probe[Any, Any]) -> ErrorBudget[Sum, None]:
    return ErrorBudget(
        sample=lambda case: None,
        select=lambda outputs, sample: outputs,
        oracle=lambda case, inputs, sample: (case.want,),
        yardstick=lambda case, inputs, sample: YardstickOutput(
            (case.want + case.error,), (case.want.abs() if case.terms is None else case.terms,)
        ),
        probes=probes or (ZEROS,),
        dtype=lambda case: case.dtype,
    )


class Errors(NamedTuple):
    rms: Deviation
    largest: Deviation

    @property
    def within(self) -> bool:
        return self.rms.within and self.largest.within


def judged(case: Sum, got: Tensor) -> Errors:
    return Errors(*budget().expect(case, None).judge((got,)))


@pytest.mark.parametrize("dtype", list(EPSILON))
def test_an_exact_yardstick_leaves_the_floor(dtype: str) -> None:
    errors = judged(Sum(dtype=dtype), WANT)
    floor = FLOOR_ROUNDOFFS[dtype] * EPSILON[dtype] * (1 + LUCK / WANT.numel() ** 0.5)
    assert errors.rms.allowed == pytest.approx(floor)
    assert errors.largest.allowed == pytest.approx(MAX_OVER_RMS * floor)
    assert errors.within
    assert errors.rms.share_of_budget == errors.largest.share_of_budget == 0.0


def test_a_floor_of_few_elements_is_higher() -> None:
    one = judged(Sum(want=torch.ones(1, dtype=torch.float64)), torch.ones(1))
    many = judged(Sum(want=torch.ones(10**6, dtype=torch.float64)), torch.ones(10**6))
    assert one.rms.allowed / many.rms.allowed == pytest.approx(1 + LUCK, rel=0.01)


def test_allowed_is_a_multiple_of_what_the_yardstick_reached() -> None:
    errors = judged(Sum(error=0.04), WANT + 0.05)
    assert errors.rms.allowed == pytest.approx(MARGIN * 0.02)
    assert errors.rms.value == pytest.approx(0.025)
    assert errors.largest.value == pytest.approx(0.025)
    assert errors.within
    assert max(error.share_of_budget for error in errors) == pytest.approx(0.625)
    assert not judged(Sum(error=0.04), WANT * 1.05).within


def test_one_wrong_element_of_many_is_found() -> None:
    got = WANT.clone()
    got[0, 0, 0] += 0.5
    errors = judged(Sum(), got)
    assert not errors.within
    assert errors.largest.value == pytest.approx(0.25)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_within(bad: float) -> None:
    got = WANT.clone()
    got[0, 0, 0] = bad
    assert not judged(Sum(), got).within


@pytest.mark.parametrize("dtype", list(EPSILON))
def test_a_yardstick_beyond_its_cap_cannot_judge(dtype: str) -> None:
    cap = CAP_ROUNDOFFS[dtype] * EPSILON[dtype]
    assert judged(Sum(error=1.9 * cap, dtype=dtype), WANT).within
    for error in (2.1 * cap, float("nan")):
        with pytest.raises(MeasurementError, match=f"yardstick's error on out is .* was expected of {dtype}"):
            budget().expect(Sum(error=error, dtype=dtype), None)


def test_errors_are_over_the_size_of_the_terms_where_these_cancel() -> None:
    """Adding 100 and -100.01 in bfloat16 cannot give -0.01, and nobody is to blame for that."""
    case = Sum(want=torch.full((64,), -0.01), terms=torch.full((64,), 141.0))
    assert judged(case, torch.zeros(64)).within
    assert not judged(case, torch.full((64,), 10.0)).within


def test_the_largest_error_is_over_its_elements_own_terms_where_they_are_large() -> None:
    want = torch.cat([torch.full((8,), 100.0), torch.full((9992,), 0.1)]).double()
    relative, in_place = want * (1 + 2.0**-9), want.clone()
    in_place[-1] += 100 * 2.0**-7
    assert judged(Sum(want=want), relative).within
    assert not judged(Sum(want=want), in_place).within


def test_an_output_that_is_zeros_by_definition_has_errors_over_one() -> None:
    scale = Scale.of(torch.zeros(4), torch.zeros(4))
    assert scale.errors(torch.zeros(4), torch.zeros(4)) == (0.0, 0.0)
    assert scale.errors(torch.full((4,), 0.5), torch.zeros(4)) == (0.5, 0.5)


def test_probes_that_pass_are_blunt_and_those_that_do_not_apply_are_not_tried() -> None:
    same = Probe("nothing wrong", lambda case: True, lambda case, inputs, sample, expected: expected)
    never = Probe("elsewhere", lambda case: False, zeros)
    turned = Probe("heads permuted", lambda case: True, heads_permuted)
    expectation = budget(ZEROS, same, never, turned).expect(Sum(), None)
    assert expectation.probes == ("zeros", "nothing wrong", "heads permuted")
    assert expectation.blunt == ("nothing wrong", "heads permuted"), "all heads of WANT are alike"


def test_the_check_sees_no_difference_where_the_yardstick_is_too_coarse() -> None:
    tiny = Sum(want=torch.full((64,), 1e-6), terms=torch.full((64,), 1.0))
    assert budget().expect(tiny, None).blunt == ("zeros",)


def test_of_nothing_nothing_is_wrong() -> None:
    """An output without elements has errors of 0 and a budget above them; no probe could be told from it."""
    nothing = torch.empty(0, dtype=torch.float64)
    assert root_mean_square(nothing) == 0.0
    assert Scale.of(nothing, nothing).errors(nothing, nothing) == (0.0, 0.0)
    check = ErrorBudget(
        sample=lambda case: None,
        select=lambda outputs, sample: outputs,
        oracle=lambda case, inputs, sample: (nothing,),
        yardstick=lambda case, inputs, sample: YardstickOutput((nothing,), (nothing,)),
        probes=(Probe("zeros", lambda case: True, zeros),),
        dtype=lambda case: "float32",
    )
    found = check.expect(None, None)
    assert [error.within for error in found.judge([nothing])] == [True, True]
    assert found.blunt == ()
