"""Plots as files: one PNG and one SVG for each kind of plot, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.reporters.draw.look import marks
from attnlab.bench.reporters.model.plots import panels_each
from attnlab.bench.reporters.model.report import Report
from attnlab.bench.text import file_stem


@dataclass(frozen=True)
class PlotFiles:
    """On a white page, for documents; where there are several sections, each file starts with its name."""

    name: str = "plots"
    suffix: str = ".svg"

    def write(self, report: Report, folder: Path) -> list[Path]:
        from attnlab.bench.reporters.draw.figures import write_plot

        alone = len(report.sections) == 1
        paths: list[Path] = []
        for section in report.sections:
            plots = [(plot, section.drawn) for plot in section.plots]
            plots += [(plot, plot.drawn) for study in section.studies for plot in study.plots]
            most = panels_each([plot for plot, _ in plots])
            for plot, drawn in plots:
                stem = plot.name if alone else f"{file_stem(section.name)}-{plot.name}"
                paths += write_plot(plot, marks(drawn), folder / stem, most)
        return paths


REPORTER = PlotFiles()
