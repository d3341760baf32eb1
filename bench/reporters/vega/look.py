"""What all specifications have in common: fonts, colours as the page has them, and marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attnlab.bench.reporters.draw.look import MUTED, RULE, TONES, WRONG, Mark
from attnlab.bench.reporters.model.plots import Panel

Spec = dict[str, Any]
Paint = Callable[[str], str]
"""What is written for a colour of the light page."""

HEIGHT, ROW, CELL, AXIS = 240, 40, 34, 60  # pixels: of a panel, of a named row, of a map's, of an axis
CROSS = "M-1-.6-.6-1 0-.4 .6-1 1-.6 .4 0 1 .6 .6 1 0 .4-.6 1-1 .6-.4 0Z"
SHAPES = {  # paths in a box from -1 to 1
    "o": "M1 0A1 1 0 1 1-1 0 1 1 0 1 1 1 0Z",
    "s": "M-.85-.85H.85V.85H-.85Z",
    "^": "M0-1 1 .8H-1Z",
    "D": "M0-1 1 0 0 1-1 0Z",
    "v": "M0 1-1-.8H1Z",
    "P": "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "X": CROSS,
    "<": "M-1 0 .8-1V1Z",
    ">": "M1 0-.8 1V-1Z",
}
VARIABLES = {tone.light: f"var({tone.variable})" for tone in TONES}


def on_page(colour: str) -> str:
    """A colour of the light page as the CSS variable that stands for it on both."""
    return VARIABLES.get(colour, colour)


def config(paint: Paint) -> Spec:
    """What all specifications have in common: fonts, and the colours of axes."""
    axis = {
        "labelColor": paint(MUTED.light),
        "titleColor": paint(MUTED.light),
        "gridColor": paint(RULE.light),
        "domainColor": paint(MUTED.light),
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 11,
        "ticks": False,
        "labelPadding": 6,
        "labelOverlap": "greedy",
    }
    return {
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "text": {"color": paint(MUTED.light), "fontSize": 11},
        "rule": {"color": paint(MUTED.light)},
    }


def encoded_look(panel: Panel, marks: Mapping[str, Mark], paint: Paint) -> Spec:
    """The encoding of colour and shape by a curve's name."""
    names = list(dict.fromkeys(curve.name for curve in panel.curves))
    colours = [paint(marks[name].colour) for name in names]
    shapes = [SHAPES[marks[name].marker] for name in names]
    colour: Spec = {"field": "name", "type": "nominal", "scale": {"domain": names, "range": colours}, "legend": None}
    shape: Spec = {"field": "name", "type": "nominal", "scale": {"domain": names, "range": shapes}, "legend": None}
    if any(curve.wrong for curve in panel.curves):
        colour["condition"] = {"test": "datum.wrong", "value": paint(WRONG.light)}
        shape["condition"] = {"test": "datum.wrong", "value": CROSS}
    return {"color": colour, "shape": shape}
