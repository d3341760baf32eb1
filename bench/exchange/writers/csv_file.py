"""CSV: a row for each result or sample, in stored units and full precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.analysis.csv_file import write_csv
from attnlab.bench.analysis.frame import frame, samples_frame
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import count


@dataclass(frozen=True)
class CsvFile:
    """An empty field was not measured or may not be shown."""

    name: str = "csv"
    suffix: str = ".csv"
    summary: str = "a row for each result, or for each sample; no cell is a formula"

    def write(self, runs: Sequence[StoredRun], path: Path, samples: bool) -> str:
        table = samples_frame(runs) if samples else frame(runs)
        write_csv(table, path)
        return count(len(table), "sample" if samples else "result")


WRITER = CsvFile()
