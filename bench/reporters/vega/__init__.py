"""A panel as a Vega-Lite specification: the same description that matplotlib draws, to be hovered over and filtered.

Names and titles stand beside the plot, in the page, where they wrap and can be selected: the specification has neither
a title nor a legend. `SPECS` has a function for each kind of panel, of a file each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attnlab.bench.reporters.draw.look import Mark
from attnlab.bench.reporters.model.plots import ACROSS, Panel
from attnlab.bench.reporters.vega.axes import plain_ticks
from attnlab.bench.reporters.vega.bars import bars
from attnlab.bench.reporters.vega.dots import dots
from attnlab.bench.reporters.vega.lines import lines
from attnlab.bench.reporters.vega.look import HEIGHT, ROW, Paint, Spec, config, encoded_look
from attnlab.bench.reporters.vega.maps import cells
from attnlab.bench.reporters.vega.requests import requests
from attnlab.bench.reporters.vega.roofline import roofline
from attnlab.bench.reporters.vega.scatter import curve, scatter
from attnlab.bench.reporters.vega.timeline import timeline
from attnlab.bench.reporters.vega.values import tooltip, values_of

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
SPECS: dict[str, Callable[[Panel, Paint], Spec]] = {
    "lines": lines,
    "dots": dots,
    "scatter": scatter,
    "roofline": roofline,
    "bars": bars,
    "curve": curve,
    "map": cells,
    "timeline": timeline,
    "requests": requests,
}


def panel_spec(panel: Panel, marks: Mapping[str, Mark], paint: Paint = str) -> Spec | None:
    """The specification of a panel, as wide as what holds it; None of a kind that is drawn as a picture alone.

    marks: of each curve's name. paint: what is written for a colour of the light page. Each value has `name` (of its
    curve), `x`, `y`, `shown` (with its unit), and where they are known `low`, `high`, `interval`, `implementation`,
    `case`.
    """
    make = SPECS.get(panel.kind)
    if make is None:
        return None
    body = make(panel, paint)
    return {
        "$schema": SCHEMA,
        "description": panel.description,
        "width": "container",
        "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 20 if panel.kind in ACROSS else 4, "top": 6, "right": 20, "bottom": 4},
        "background": "transparent",
        "config": config(paint),
        "usermeta": {"kind": panel.kind, "metric": panel.metric, "plain": plain_ticks(panel), "row": ROW},
        "data": {"name": "points", "values": [row for c in panel.curves for row in values_of(panel, c)]},
        **body,
        "encoding": {**body["encoding"], **encoded_look(panel, marks, paint), "tooltip": tooltip(panel)},
    }
