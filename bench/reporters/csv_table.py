"""CSV: every result with every column, of all runs in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.analysis.csv_file import write_csv
from attnlab.bench.analysis.frame import frame
from attnlab.bench.reporters.model.report import Report


@dataclass(frozen=True)
class CsvTable:
    """Values in stored units and full precision; an empty field was not measured or may not be shown."""

    name: str = "csv"
    suffix: str = ".csv"

    def write(self, report: Report, folder: Path) -> list[Path]:
        path = folder / f"results{self.suffix}"
        write_csv(frame(report.stored), path)
        return [path]


REPORTER = CsvTable()
