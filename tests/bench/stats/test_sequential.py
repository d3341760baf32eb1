"""Looks and what each may spend."""

from __future__ import annotations

import math

import pytest

from attnlab.bench.stats.sequential import LOOKS, Looks, looks_up_to


@pytest.mark.parametrize("pairs", [LOOKS, (1,), (6, 7), (10, 20, 30, 40)])
def test_all_looks_together_spend_alpha(pairs: tuple[int, ...]) -> None:
    looks = Looks(pairs)
    assert sum(looks.level(n, 0.05) for n in pairs) == pytest.approx(0.05)
    assert all(looks.level(n, 0.05) > 0 for n in pairs)


def test_the_first_look_spends_as_pocock_does() -> None:
    assert Looks((8, 16)).level(8, 0.05) == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 2))


@pytest.mark.parametrize("pairs", [(), (0, 4), (4, 4), (8, 6)])
def test_looks_rise(pairs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rising numbers above zero"):
        Looks(pairs)


def test_looks_end_where_asked() -> None:
    assert looks_up_to(16).pairs == LOOKS
    assert looks_up_to(6).pairs == (6,)
    assert looks_up_to(11).pairs == (8, 10, 11)
    assert looks_up_to(100).pairs == (*LOOKS, 100)


def test_a_family_can_be_too_large_for_so_many_pairs() -> None:
    looks = Looks((8,))
    assert looks.decidable(2.0**-8)
    assert not looks.decidable(2.0**-8 * 0.99)
