"""The page of a profile as HTML that stands alone but for its links to raw files beside it."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.reporters.draw.look import TONES
from attnlab.bench.reporters.page.drawings import DrawnPlot, drawn
from attnlab.bench.reporters.page.environment import template_environment
from attnlab.bench.reporters.profile_page.model import CaseSection, ProfilePage


def render(page: ProfilePage) -> str:
    """The whole page, without a script."""
    return (
        template_environment()
        .get_template("profile.html")
        .render(
            page=page,
            drawn={section.case: _drawn(section, f"c{number}") for number, section in enumerate(page.sections)},
            light={tone.variable: tone.light for tone in TONES},
            dark={tone.variable: tone.dark for tone in TONES},
            units=units,
        )
    )


def _drawn(section: CaseSection, key: str) -> list[DrawnPlot]:
    return [drawn(plot, plot.drawn, key, {}, len(plot.panels)) for plot in section.plots]
