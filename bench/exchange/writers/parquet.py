"""Parquet: a row for each result or sample, with types."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.analysis.frame import frame, samples_frame
from attnlab.bench.analysis.parquet import write_parquet
from attnlab.bench.errors import UsageError
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import count


@dataclass(frozen=True)
class Parquet:
    """A column of values of several types becomes text."""

    name: str = "parquet"
    suffix: str = ".parquet"
    summary: str = "a row for each result, or for each sample; needs the package pyarrow"

    def write(self, runs: Sequence[StoredRun], path: Path, samples: bool) -> str:
        if importlib.util.find_spec("pyarrow") is None:
            raise UsageError("package pyarrow is not installed; install attnlab with its extra 'parquet'")
        table = samples_frame(runs) if samples else frame(runs)
        write_parquet(table, path)
        return count(len(table), "sample" if samples else "result")


WRITER = Parquet()
