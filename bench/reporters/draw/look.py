"""Colours and markers of plots: safe for the colour-blind, and with a counterpart for dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tone:
    """One colour on a light and on a dark page, and the CSS variable that stands for it."""

    variable: str
    light: str
    dark: str


# Hues told apart by all common kinds of colour vision (after Okabe and Ito), at a contrast of 4.5 or more.
PALETTE = (
    Tone("--series-0", "#0067a5", "#5db7ec"),
    Tone("--series-1", "#b84a00", "#ff9447"),
    Tone("--series-2", "#007a59", "#35c79e"),
    Tone("--series-3", "#9a3f90", "#e79bdb"),
    Tone("--series-4", "#7d6200", "#e3c34a"),
    Tone("--series-5", "#4a45a8", "#aeb2ff"),
    Tone("--series-6", "#98203f", "#ff8aa0"),
    Tone("--series-7", "#556069", "#b9c1c8"),
)
INK = Tone("--ink", "#1c1f22", "#e6e8ea")
MUTED = Tone("--muted", "#5a6168", "#a3abb3")
RULE = Tone("--rule", "#dfe2e5", "#32373c")
WRONG = Tone("--wrong", "#b3131f", "#ff8078")
TONES = (*PALETTE, INK, MUTED, RULE, WRONG)

MARKERS = "os^DvPX<>"  # nine, so that no pair of colour and marker returns before the 72nd name


@dataclass(frozen=True)
class Mark:
    """How one implementation is drawn, the same in every plot."""

    colour: str
    marker: str


def marks(names: Sequence[str]) -> dict[str, Mark]:
    """A mark for each name, by its place."""
    return {
        name: Mark(PALETTE[place % len(PALETTE)].light, MARKERS[place % len(MARKERS)])
        for place, name in enumerate(dict.fromkeys(names))
    }
