"""Colours and markers of plots: safe for the colour-blind, and with a counterpart for dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnlab.bench.reporters.model.plots import FAILED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Tone:
    """One colour on a light and on a dark page, and the CSS variable that stands for it."""

    variable: str
    light: str
    dark: str


# Ten colours that stay far apart for every common kind of colour vision (the model is that of Machado, Oliveira and
# Fernandes, 2009), found by search: any two differ by a CIE76 distance of 17 or more; each has a contrast of 3 or more.
PALETTE = (
    Tone("--series-0", "#0758bd", "#b4a7ff"),
    Tone("--series-1", "#a32640", "#fdb1b5"),
    Tone("--series-2", "#769e4d", "#ccfd97"),
    Tone("--series-3", "#a43789", "#c85fac"),
    Tone("--series-4", "#1d9cd4", "#8cc3e5"),
    Tone("--series-5", "#794f02", "#b6812f"),
    Tone("--series-6", "#2f0055", "#f7f0fb"),
    Tone("--series-7", "#b2858d", "#e5547d"),
    Tone("--series-8", "#12263a", "#0086e2"),
    Tone("--series-9", "#3d0c00", "#ff8671"),
)
INK = Tone("--ink", "#1c1f22", "#e6e8ea")
MUTED = Tone("--muted", "#5a6168", "#a3abb3")
RULE = Tone("--rule", "#dfe2e5", "#32373c")
WRONG = Tone("--wrong", "#b3131f", "#ff8078")
TONES = (*PALETTE, INK, MUTED, RULE, WRONG)

MAP_ENDS = ("#e8f1fa", "#0a3d75")  # of the smallest and the largest value: by lightness, which all can tell

MARKERS = "os^DvPX<>"  # nine, so that no pair of colour and marker returns before the 90th name
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1.5, 1.5))  # of the first ten names, of the next …


@dataclass(frozen=True)
class Mark:
    """How one implementation is drawn, the same in every plot."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()


def marks(names: Sequence[str]) -> dict[str, Mark]:
    """A mark for each name, by its place; what failed has one of its own."""
    return {
        name: Mark(WRONG.light, "X")
        if name == FAILED
        else Mark(
            PALETTE[place % len(PALETTE)].light,
            MARKERS[place % len(MARKERS)],
            DASHES[place // len(PALETTE) % len(DASHES)],
        )
        for place, name in enumerate(dict.fromkeys(names))
    }


def plain(ax: Axes) -> None:
    """Axes without a background, of which the bottom line alone is drawn, below what they hold."""
    ax.set_facecolor("none")
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(MUTED.light)
    ax.tick_params(colors=MUTED.light, length=0)
    ax.set_axisbelow(True)
