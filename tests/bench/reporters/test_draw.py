"""Ticks, labels and colours of plots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from attnlab.bench.reporters.draw.look import INK, MUTED, PALETTE, WRONG, Tone, marks
from attnlab.bench.reporters.draw.ticks import logarithmic_ticks, spread

LIGHT_PAGE, DARK_PAGE = "#fdfdfc", "#15171a"  # as in page.css


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("tone", "least"),
    [*((tone, 3.0) for tone in PALETTE), *((tone, 4.5) for tone in (INK, MUTED, WRONG))],
    ids=lambda value: getattr(value, "variable", str(value)),
)
def test_colours_are_legible_on_both_pages(tone: Tone, least: float) -> None:
    """Of marks as WCAG 2 asks for graphics, of text as it asks for text."""
    assert contrast(tone.light, LIGHT_PAGE) >= least
    assert contrast(tone.dark, DARK_PAGE) >= least


# What is seen by those who lack one kind of cone, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
SEEN = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}


def lab(colour: str, seen: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """CIE L*a*b* of a colour as it is seen."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    r, g, b = (min(1.0, max(0.0, sum(w * p for w, p in zip(row, linear, strict=True)))) for row in seen)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_colours_are_told_apart_by_every_kind_of_colour_vision(kind: str, page: str) -> None:
    seen = [lab(getattr(tone, page), SEEN[kind]) for tone in PALETTE]
    assert len(seen) >= 9
    assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) >= 17


def test_no_two_implementations_look_alike() -> None:
    found = marks([str(n) for n in range(90)])
    assert len({(m.colour, m.marker) for m in found.values()}) == 90
    first = [found[str(n)] for n in range(9)]
    assert len({m.marker for m in first}) == 9
    assert len({found[str(n)].dashes for n in (0, 10, 20)}) == 3


@pytest.mark.parametrize(
    ("low", "high", "binary", "expected"),
    [
        (9e4, 2e8, False, [1e5, 1e6, 1e7, 1e8]),
        (4.0, 60.0, False, [5.0, 10.0, 20.0, 50.0]),
        (0.4, 9.0, True, [0.5, 1.0, 2.0, 4.0, 8.0]),
        (1.0, 1.2, True, [1.0, 1.05, 1.1, 1.15, 1.2]),
        (2.0**10, 2.0**28, True, [2.0**12, 2.0**16, 2.0**20, 2.0**24, 2.0**28]),
    ],
)
def test_ticks_are_round(low: float, high: float, binary: bool, expected: list[float]) -> None:
    assert logarithmic_ticks(low, high, binary) == pytest.approx(expected)


def test_ticks_are_few_over_any_range() -> None:
    for low, factor, binary in itertools.product((1e-3, 1.0, 7e5), (1.01, 1.5, 30.0, 1e4, 1e12), (False, True)):
        found = logarithmic_ticks(low, low * factor, binary)
        assert 1 <= len(found) <= 6
        assert found == sorted(found)


def test_labels_keep_their_order_and_distance() -> None:
    places = spread([0.5, 0.51, 0.1, 0.99, 1.0], 0.1, 0.0, 1.0)
    assert places == pytest.approx([0.5, 0.6, 0.1, 0.9, 1.0])
    crowded = spread([0.5] * 30, 0.1, 0.0, 1.0)
    assert min(crowded) >= -1e-9
    assert max(crowded) <= 1 + 1e-9
    assert spread([], 0.1, 0, 1) == []
