"""What is named as the cause of a slowdown, and what is not."""

from __future__ import annotations

import itertools

import pytest

from attnlab.bench.gate.kernel_move import what_moved
from attnlab.bench.gate.rows import KernelMove


def rounds(**parts: float) -> list[dict[str, float]]:
    """Five rounds that scatter by 1 % or so."""
    wiggle = itertools.cycle((1.0, 1.004, 0.997, 1.006, 0.995))
    return [{name: ns * scale for name, ns in parts.items()} for scale in itertools.islice(wiggle, 5)]


def test_the_name_whose_time_grew_most() -> None:
    found = what_moved(rounds(a=50e3, b=20e3), rounds(a=60e3, b=20e3, c=30e3), 40e3)
    assert isinstance(found, KernelMove)
    assert (found.name, found.base_ns, found.head_ns) == ("c", 0.0, 30e3)


@pytest.mark.parametrize(
    ("base", "head", "change_ns", "said"),
    [
        # A call 21 us slower, and a profile in which another operation happened to take five times as long.
        ({"aten::bmm": 201e3, "aten::k1": 30e3}, {"aten::bmm": 995e3, "aten::k1": 51e3}, 21e3, "does not explain it"),
        ({"a": 50e3}, {"a": 40e3}, 10e3, "its parts changed by -10.0 µs"),
        ({"a": 50e3}, {"a": 50e3}, 10e3, "does not explain it"),  # the time went where the profiler does not look
        ({"a": 50e3, "b": 90e3}, {"a": 100e3, "b": 50e3}, 10e3, "a alone grew by 50.0 µs"),
        ({}, {}, 10e3, "does not explain it"),
    ],
)
def test_nothing_is_named_that_contradicts_the_change(
    base: dict[str, float], head: dict[str, float], change_ns: float, said: str
) -> None:
    found = what_moved(rounds(**base), rounds(**head), change_ns)
    assert isinstance(found, str)
    assert said in found


def test_nothing_is_named_where_the_slowdown_is_spread() -> None:
    many = {f"part{n}": 10e3 for n in range(10)}
    found = what_moved(rounds(**many), rounds(**dict.fromkeys(many, 11e3)), 10e3)
    assert found == "no single part of the profile explains a fifth of it"


def test_a_profile_noisier_than_the_change_names_nothing() -> None:
    base = [{"a": ns} for ns in (100e3, 150e3, 90e3, 130e3, 70e3)]
    head = [{"a": ns} for ns in (110e3, 90e3, 150e3, 80e3, 150e3)]
    assert "does not explain it" in str(what_moved(base, head, 10e3))


def test_no_round_says_nothing() -> None:
    assert what_moved([], [], 10e3) == "the profile has nothing to say of it"
