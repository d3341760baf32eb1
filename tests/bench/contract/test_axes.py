"""Axes: how a case is read, printed, parsed back and swept, on an operator made for the purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from attnlab.bench.contract.axes import Case, axis, dtype_axis, like, size, sweep, unique
from attnlab.bench.errors import ImpossibleCase, UnknownName


def read_mode(value: Any) -> str:
    if not re.fullmatch(r"plain|ring:\d+", str(value)):
        raise ImpossibleCase(f"unknown mode {value!r}; expected plain or ring:N")
    return str(value)


@dataclass(frozen=True)
class Boat(Case):
    """An operator's axes."""

    kind = "boat"

    oars: int = size("O", help="oars", default=4)
    seats: int = size("S", help="seats", default=like("oars"))
    dtype: str = dtype_axis()
    mode: str = axis(pattern=r"plain|ring:\d+", read=read_mode, help="mode", default="plain")

    def validate(self) -> None:
        if self.seats > self.oars:
            raise ImpossibleCase(f"got seats={self.seats} for oars={self.oars}; expected an oar for each seat")


def test_a_default_may_follow_another_axis() -> None:
    assert Boat(oars=6).seats == 6
    assert Boat(oars=6, seats=2).seats == 2


def test_an_id_leaves_out_what_is_at_its_default() -> None:
    assert Boat().id == "bf16"
    assert Boat(oars=6).id == "O6-bf16"
    assert Boat(oars=6, seats=6).id == "O6-bf16"
    assert str(Boat(oars=6, seats=2, dtype="float32")) == "O6-S2-fp32"


def test_a_colon_is_a_dot_in_an_id() -> None:
    assert Boat(mode="ring:12").id == "bf16-ring.12"
    assert Boat.parse("bf16-ring.12").mode == "ring:12"


@pytest.mark.parametrize("text", ["bf16", "O6-fp16", "O6-S2-fp32-ring.3", "S2-bf16"])
def test_an_id_is_read_back(text: str) -> None:
    assert Boat.parse(text).id == text


def test_axes_of_an_id_may_come_in_any_order_and_dtype_may_be_left_out() -> None:
    assert Boat.parse("ring.3-fp16-S2-O6") == Boat(oars=6, seats=2, dtype="float16", mode="ring:3")
    assert Boat.parse("O6") == Boat(oars=6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("O6-X3-bf16", "'X3' is no axis of boat; an id reads like 'bf16'"),
        ("O6-O7-bf16", "gives axis oars twice"),
        ("O-bf16", "'O' is no axis"),
        ("", "'' is no axis"),
        ("O6--bf16", "'' is no axis"),
        ("o6-bf16", "'o6' is no axis"),
        ("O0-bf16", "got '0'; expected a whole number of at least 1"),
        ("O2-S3-bf16", "expected an oar for each seat"),
    ],
)
def test_an_id_that_is_none(text: str, says: str) -> None:
    with pytest.raises(ImpossibleCase, match=re.escape(says)):
        Boat.parse(text)


@pytest.mark.parametrize("value", [0, -1, "0", "-3", "two", 1.5, 2.0, True, "", [4]])
def test_a_size_is_a_whole_number_from_one_on(value: object) -> None:
    with pytest.raises(ImpossibleCase, match=r"axis oars: got .*; expected a whole number of at least 1"):
        Boat(oars=value)  # type: ignore[arg-type]


def test_sizes_and_dtypes_may_be_spelled_as_a_user_would() -> None:
    assert Boat(oars="6", dtype="fp16") == Boat(oars=6, dtype="float16")  # type: ignore[arg-type]


def test_an_unknown_dtype_names_those_there_are() -> None:
    with pytest.raises(ImpossibleCase, match="axis dtype: unknown dtype 'float8'; expected one of float32, float16"):
        Boat(dtype="float8")


def test_an_unknown_axis_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown axis of boat 'oar'; did you mean 'oars'\?"):
        Boat.build({"oar": 3})
    with pytest.raises(UnknownName, match="known: dtype, mode, oars, seats"):
        Boat.build({"zzz": 3})


def test_values_build_the_same_case() -> None:
    case = Boat(oars=6, seats=2, dtype="float32", mode="ring:3")
    assert case.values() == {"oars": 6, "seats": 2, "dtype": "float32", "mode": "ring:3"}
    assert Boat.build(case.values()) == case


def test_a_sweep_takes_every_combination_in_order_and_each_once() -> None:
    cases = sweep(Boat, {"oars": [4, 2], "dtype": ["float16", "fp16"], "mode": "plain"})
    assert [case.id for case in cases] == ["fp16", "O2-fp16"]


def test_a_sweep_leaves_out_impossible_combinations() -> None:
    assert [case.id for case in sweep(Boat, {"oars": [2, 4], "seats": [1, 3]})] == [
        "O2-S1-bf16",
        "S1-bf16",
        "S3-bf16",
    ]


def test_a_sweep_with_nothing_left_says_why() -> None:
    with pytest.raises(ImpossibleCase, match="got seats=8 for oars=2"):
        sweep(Boat, {"oars": [2, 4], "seats": 8})


def test_a_sweep_does_not_swallow_an_unknown_axis() -> None:
    with pytest.raises(UnknownName, match="did you mean 'seats'"):
        sweep(Boat, {"oars": [2], "seat": [1]})


def test_cases_are_values() -> None:
    assert len({Boat(), Boat(oars=4), Boat(oars=5)}) == 2
    with pytest.raises(AttributeError):
        Boat().oars = 3  # type: ignore[misc]


def test_unique_keeps_the_order() -> None:
    assert unique([3, 1, 3, 2, 1]) == [3, 1, 2]
