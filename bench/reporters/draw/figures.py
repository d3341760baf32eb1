"""Figures for files and for pages: PNG and SVG of a whole plot, inline SVG of one panel."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from attnlab.bench.reporters.draw.canvas import SIDE_IN, WIDTH_IN, Canvas
from attnlab.bench.reporters.draw.fitting import cut_to_page
from attnlab.bench.reporters.draw.look import INK, TONES, Mark
from attnlab.bench.reporters.draw.panel import draw, height_in
from attnlab.bench.reporters.model.plots import MOST_TOGETHER, Panel, Plot

DOTS_PER_INCH = 160
COLUMNS = 3
TITLE_IN = 0.42
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.8,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and set in the page's font
    "svg.hashsalt": "attnlab",  # the same run gives the same file
    "text.parse_math": False,  # a name may hold a dollar sign
}
_UNWANTED = (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->", r' xmlns(:\w+)?="[^"]*"')


@contextmanager
def settings() -> Iterator[None]:
    """The look of every figure; to be open from its making to its writing."""
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names may be in any script
        yield


def write_plot(plot: Plot, marks: Mapping[str, Mark], stem: Path, most: int = MOST_TOGETHER) -> list[Path]:
    """The panels of a plot, at most so many, on a white page, as PNG and as SVG."""
    with settings():
        return save(_grid(plot, marks, most), stem)


class ShownFigure(Figure):
    """A figure that a notebook shows, whether or not pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with settings():
            self.savefig(buffer, format="png", dpi=DOTS_PER_INCH // 2, facecolor="white")
        return buffer.getvalue()


def figure_of(plot: Plot, marks: Mapping[str, Mark]) -> Figure:
    """A plot for whoever goes on with the figure."""
    with settings():
        return _grid(plot, marks, MOST_TOGETHER)


def save(figure: Figure, stem: Path) -> list[Path]:
    """A figure on a white page, as PNG and as SVG; text that would leave the page is cut."""
    cut_to_page(figure)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg")]
    figure.savefig(paths[0], dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
    figure.savefig(paths[1], facecolor="white", metadata={"Date": None, "Creator": None})
    return paths


def _grid(plot: Plot, marks: Mapping[str, Mark], most: int) -> Figure:
    panels = plot.panels[:most]
    columns = min(COLUMNS, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(height_in(panel) for panel in row) for row in rows]
    width, total = WIDTH_IN * columns, sum(heights) + TITLE_IN
    figure = ShownFigure(figsize=(width, total))
    left_out = f" ({len(panels)} of {len(plot.panels)} panels)" if len(plot.panels) > len(panels) else ""
    figure.text(SIDE_IN / width, 1 - 0.28 / total, plot.title + left_out, fontsize=12, weight="bold", color=INK.light)
    parts = figure.subfigures(len(rows) + 1, columns, height_ratios=[TITLE_IN, *heights], squeeze=False)
    for line, row, height in zip(parts[1:], rows, heights, strict=True):
        for part, panel in zip(line, row, strict=False):
            draw(Canvas(part, panel, marks, height))
    return figure


def inline_svg(panel: Panel, marks: Mapping[str, Mark], prefix: str) -> str:
    """One panel as an `<svg>` element that takes its colours from the page; `prefix` keeps its ids apart."""
    height, buffer = height_in(panel), io.StringIO()
    with settings():
        figure = Figure(figsize=(WIDTH_IN, height))
        figure.patch.set_visible(False)
        draw(Canvas(figure, panel, marks, height))
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(buffer.getvalue(), prefix)


def _for_page(svg: str, prefix: str) -> str:
    """Only what a page needs: no prolog, metadata, global style or namespaces, and colours as variables."""
    svg = svg[svg.index("<svg") :]
    for unwanted in _UNWANTED:
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    for size in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", svg)
    for tone in TONES:
        svg = svg.replace(tone.light, f"var({tone.variable})")
    return re.sub(r"\n\s*", "\n", svg).strip()
