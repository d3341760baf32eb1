"""A page of one study that stands alone, without a script: words first, then pictures, then tables."""

from __future__ import annotations

from attnlab.bench.reporters.draw.look import TONES
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.page.drawings import drawn
from attnlab.bench.reporters.page.environment import template_environment


def render(study: Study, title: str, subtitle: str, command: str) -> str:
    """The whole page. command: what makes it again."""
    return (
        template_environment()
        .get_template("study.html")
        .render(
            study=study,
            page_title=title,
            subtitle=subtitle,
            command=command,
            plots=[drawn(plot, plot.drawn, "study", {}, len(plot.panels)) for plot in study.plots if plot.panels],
            light={tone.variable: tone.light for tone in TONES},
            dark={tone.variable: tone.dark for tone in TONES},
        )
    )
