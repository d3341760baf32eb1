"""Runs from an index, with the outlines of their measurements: all that a history or a comparison asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnlab.bench.analysis.index.duck import identifier
from attnlab.bench.analysis.index.index import ROWS, RUNS, Index
from attnlab.bench.analysis.index.rows import run_of
from attnlab.bench.analysis.index.sketches import outlined
from attnlab.bench.contract.metric import Value
from attnlab.bench.store.collector import paused_collector
from attnlab.bench.store.records import Measurement
from attnlab.bench.store.run_folder import StoredRun

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Key = tuple[str, str, str]
"""Operator, implementation and case of a benchmark."""


def benchmarks_in(index: Index) -> list[Key]:
    """All benchmarks, in the order in which the runs first have them; raises what DuckDB raises."""
    query = f"""
        SELECT operator, implementation, case_id FROM {ROWS}
        GROUP BY ALL ORDER BY min(struct_pack(place := place, position := position))
    """
    with index.connected() as connection:
        return [(operator, name, case_id) for operator, name, case_id in connection.execute(query).fetchall()]


@paused_collector()
def outlined_runs(index: Index, benchmarks: Sequence[Key] | None = None) -> list[StoredRun]:
    """All runs, in the index's order, with outlines of the last measurement of each benchmark, or of those alone.

    Raises what DuckDB raises.
    """
    found: list[list[Measurement]] = [[] for _ in index.runs]
    with index.connected() as connection:
        chosen = "" if benchmarks is None else _choose(connection, benchmarks)
        rows = connection.execute(f"SELECT place, outline FROM {ROWS} {chosen} ORDER BY place, position")
        while batch := rows.fetchmany(10_000):
            for place, outline in batch:
                found[place].append(outlined(outline))
        records = connection.execute(f"SELECT record FROM {RUNS} ORDER BY place").fetchall()
    return [
        StoredRun(run.path, run_of(record), tuple(measurements), run.damages)
        for run, (record,), measurements in zip(index.runs, records, found, strict=True)
    ]


def figures_in(index: Index, metric: str, benchmarks: Sequence[Key]) -> dict[tuple[str, Key], Value]:
    """What the metric says of these benchmarks, by a run's id and the benchmark; raises what DuckDB raises."""
    with index.connected() as connection:
        chosen = _choose(connection, benchmarks)
        column = identifier(metric)
        rows = connection.execute(
            f"SELECT place, operator, implementation, case_id, {column} FROM {ROWS} {chosen} WHERE {column} IS NOT NULL"
        ).fetchall()
    return {(index.runs[place].entry.run_id, (name, made, case)): value for place, name, made, case, value in rows}


def _choose(connection: DuckDBPyConnection, benchmarks: Sequence[Key]) -> str:
    """What a query of rows joins with, to have those of these benchmarks alone."""
    columns = [list(column) for column in zip(*benchmarks, strict=True)] or [[], [], []]
    unnested = "unnest(?::VARCHAR[])"
    connection.execute(
        f"CREATE TABLE chosen AS SELECT {unnested} AS operator, {unnested} AS implementation, {unnested} AS case_id",
        columns,
    )
    return "SEMI JOIN chosen USING (operator, implementation, case_id)"
