"""Text that would leave the page, cut in its middle: names of others may be of any length."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from attnlab.bench.reporters.draw.canvas import short

TRIES = 4  # letters differ in width, so that the first cut may not be enough
LEAST = 24  # characters: less is a label of ours


def cut_to_page(figure: Figure) -> None:
    """Shorten what reaches beyond an edge of the figure, at either end; anything of fewer characters stays."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for text in figure.findobj(Text):
        for _ in range(TRIES):
            shown = text.get_text()
            if len(shown) <= LEAST or not text.get_visible():
                break
            extent = text.get_window_extent(renderer)
            beyond = max(0.0, extent.x1 - figure.bbox.x1) + max(0.0, figure.bbox.x0 - extent.x0)
            if beyond <= 0:
                break
            kept = max(LEAST, int(len(shown) * (1 - beyond / extent.width)) - 1)
            text.set_text(short(shown, min(kept, len(shown) - 1)))
