"""The index of a folder of runs, as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.analysis.index import duck
from attnlab.bench.analysis.index.manifest import Entry, Manifest
from attnlab.bench.analysis.index.rows import RUN_COLUMNS, measurement_columns
from attnlab.bench.analysis.index.segments import files_of
from attnlab.bench.store.damages import Damage
from attnlab.bench.store.run_folder import MEASUREMENTS_FILE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS, RUNS = "indexed_measurements", "indexed_runs"


@dataclass(frozen=True)
class IndexedRun:
    """A run that can be read, in the folder `path`."""

    path: Path
    entry: Entry

    @property
    def damages(self) -> tuple[Damage, ...]:
        return tuple(Damage(self.path / MEASUREMENTS_FILE, d.line, d.reason) for d in self.entry.damages)


@dataclass(frozen=True)
class Index:
    """The runs of a folder whose rows lie in segments below `place`, oldest first; fewer or in another order on demand.

    apart: those that can be read from their folders alone.
    """

    folder: Path
    place: Path
    runs: tuple[IndexedRun, ...]
    apart: tuple[IndexedRun, ...] = ()

    @classmethod
    def of(cls, folder: Path, place: Path, manifest: Manifest) -> Index:
        named = sorted(manifest.runs.items())
        found = [IndexedRun(folder / name, entry) for name, entry in named if not entry.broken]
        found.sort(key=lambda run: (run.entry.started, run.entry.run_id))
        runs = tuple(run for run in found if run.entry.segment is not None)
        return cls(folder, place, runs, tuple(run for run in found if run.entry.segment is None))

    @contextmanager
    def connected(self) -> Iterator[DuckDBPyConnection]:
        """A database with the rows of all runs (`ROWS`) and the runs themselves (`RUNS`).

        Each has the columns of a segment, and `place`, that of its run among the runs, from 0. Raises what DuckDB
        raises.
        """
        with duck.connected() as connection:
            numbers = [run.entry.number for run in self.runs]
            connection.execute(
                "CREATE TABLE live AS SELECT unnest(?::BIGINT[]) AS number, unnest(range(?)) AS place",
                [numbers, len(numbers)],
            )
            for view, kind, columns in ((ROWS, 0, measurement_columns()), (RUNS, 1, RUN_COLUMNS)):
                connection.execute(f"CREATE VIEW {view} AS {self._source(kind, columns)} JOIN live USING (number)")
            yield connection

    def files(self) -> list[Path]:
        """All that is read."""
        return [file for name in self._segments() for file in files_of(self.place, name)]

    def _segments(self) -> list[str]:
        return sorted({run.entry.segment for run in self.runs if run.entry.segment is not None})

    def _source(self, kind: int, columns: Mapping[str, str]) -> str:
        files = [files_of(self.place, name)[kind] for name in self._segments()]
        if files:
            return f"SELECT * FROM read_parquet({duck.paths(files)})"
        names = ", ".join(f"NULL::{kind} AS {duck.identifier(name)}" for name, kind in columns.items())
        return f"SELECT * FROM (SELECT {names} WHERE false)"
