"""Ticks, labels and colours of plots."""

from __future__ import annotations

import itertools

import pytest

from attnlab.bench.reporters.draw.look import INK, MUTED, PALETTE, WRONG, marks
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


@pytest.mark.parametrize("tone", [*PALETTE, INK, MUTED, WRONG], ids=lambda tone: tone.variable)
def test_colours_are_legible_on_both_pages(tone) -> None:  # type: ignore[no-untyped-def]
    assert contrast(tone.light, LIGHT_PAGE) >= 4.5
    assert contrast(tone.dark, DARK_PAGE) >= 4.5


def test_no_two_implementations_look_alike() -> None:
    found = marks([str(n) for n in range(72)])
    assert len({(m.colour, m.marker) for m in found.values()}) == 72
    first = [found[str(n)] for n in range(8)]
    assert len({m.marker for m in first}) == 8


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
