"""Which configurations are tried: what does not fit is left out with its reason, and the nearest come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from attnlab.bench import Registry, Space, implements
from attnlab.bench.contract.space import Resources
from attnlab.bench.errors import PluginError
from attnlab.bench.store.machine import Device
from attnlab.bench.tuning.candidates import tuned_case
from attnlab.bench.tuning.limits import beyond

H100 = Device("cuda", "a GPU", (9, 0))
CPU = Device("cpu", "a processor")


@dataclass(frozen=True)
class Case:
    """As much of a case as a space sees."""

    id: str = "N8"
    n: int = 8


def made(space: Space) -> Any:
    own = Registry()

    class Mine:
        """Takes anything."""

        def prepare(self, case: Any, inputs: Any, chosen: Any = None) -> Any:
            return chosen

        def run(self, inputs: Any, state: Any) -> Any:
            return state

    implements("toy", name="mine", into=own, space=space)(Mine)
    return own.all_implementations()[0]


def planned(device: Device = CPU, **rest: Any) -> Any:
    usual = {"axes": {"tile": (1, 2, 4), "stages": (1, 2)}, "default": lambda case: {"tile": 2, "stages": 1}}
    space = Space(**{**usual, **rest})
    return tuned_case(made(space), space, Case(), device, 0.05)  # type: ignore[arg-type]


def test_the_built_in_one_is_first_and_the_nearest_to_it_follow() -> None:
    case = planned()
    assert case.default == "mine+2-1"
    assert list(case.candidates) == ["mine+2-1", "mine+1-1", "mine+2-2", "mine+4-1", "mine+1-2", "mine+4-2"]
    assert (case.exact, case.sizes) == ({"case": "N8"}, {}), "the same case alone, where no shape is declared"


def test_a_built_in_one_that_is_none_of_the_values_is_tried_too() -> None:
    case = planned(default=lambda case: {"tile": 3, "stages": 1})
    assert len(case.candidates) == 7
    assert list(case.candidates)[:3] == ["mine+3-1", "mine+4-1", "mine+2-1"]


def test_what_is_unfit_is_left_out_but_never_the_built_in_one() -> None:
    case = planned(unfit=lambda case, one: "too long" if one["tile"] >= 2 else None)
    assert list(case.candidates) == ["mine+2-1", "mine+1-1", "mine+1-2"]
    assert {one.reason for one in case.left_out} == {"too long"}
    assert len(case.left_out) == 3


def test_what_cannot_fit_the_device_is_left_out() -> None:
    def least(case: Any, one: Any) -> Resources:
        return Resources(shared_bytes=one["tile"] * one["stages"] * 50 * 1024)

    case = planned(H100, least=least)
    assert [one.configuration for one in case.left_out] == [{"tile": 4, "stages": 2}]
    assert case.left_out[0].reason == "needs 400 KiB of shared memory or more, and a block has 227 KiB"
    assert planned(CPU, least=least).left_out == (), "a processor has no shared memory"


@pytest.mark.parametrize(
    ("least", "reason"),
    [
        (Resources(threads=2048), "needs 2048 threads, and a block has 1024"),
        (
            Resources(registers=300, threads=128),
            "needs 300 registers a thread or more, and there are 255: it would spill",
        ),
        (
            Resources(registers=100, threads=1024),
            "needs 100 registers a thread or more, and there are 64: it would spill",
        ),
        (Resources(registers=255, shared_bytes=227 * 1024, threads=128), None),
        (None, None),
    ],
)
def test_the_limits_of_a_device(least: Resources | None, reason: str | None) -> None:
    assert beyond(least, H100) == reason


def test_a_space_that_fails_is_told_by_its_name() -> None:
    with pytest.raises(PluginError, match="the search space of toy/mine fails in unfit for N8: KeyError"):
        planned(unfit=lambda case, one: one["nosuch"])
    with pytest.raises(PluginError, match=r"has the default tile=2; expected tile, stages"):
        planned(default=lambda case: {"tile": 2})


def test_what_does_not_fit_as_compiled_is_left_out_but_never_the_built_in_one() -> None:
    space = Space({"tile": (1, 2, 4)}, lambda case: {"tile": 2})
    asked: list[str] = []

    def misfits(others: Any) -> dict[str, str]:
        asked.extend(others)
        return {"mine+4": "as compiled it\nis too large"}

    case = tuned_case(made(space), space, Case(), CPU, 0.05, misfits)  # type: ignore[arg-type]
    assert asked == ["mine+1", "mine+4"]
    assert list(case.candidates) == ["mine+2", "mine+1"]
    assert [(one.configuration, one.reason) for one in case.left_out] == [({"tile": 4}, "as compiled it is too large")]
