"""Questions to stored runs in SQL, which can read what the index holds and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.analysis.index import duck
from attnlab.bench.analysis.index.index import Index
from attnlab.bench.analysis.index.interrupts import heard
from attnlab.bench.analysis.index.keys import run_keys
from attnlab.bench.analysis.index.opening import Tell, brought_up_to_date, can_be_indexed
from attnlab.bench.analysis.index.views import make_views
from attnlab.bench.errors import StoreError, StoreWarning, UsageError
from attnlab.bench.store.damages import tell_damages
from attnlab.bench.store.run_folder import RUN_FILE, read_run, read_runs
from attnlab.bench.text import message_of

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

EXAMPLE = "SELECT run_id, implementation, median_ns FROM measurements"


def _warn(text: str) -> None:
    warnings.warn(text, StoreWarning, stacklevel=2)


def query(sql: str, path: Path | str = "results") -> pd.DataFrame:
    """What one SELECT finds in a folder of runs, or in one run, as a DataFrame.

    It reads the views `measurements` and `runs`, whose columns docs/store.md lists. Raises UsageError where the text
    is no SELECT or DuckDB refuses it, StoreError where there are no runs to be read.
    """
    with asked(sql, Path(path), _warn, lambda text: None) as connection:
        return connection.df()


@contextmanager
def asked(sql: str, path: Path, tell: Tell, inform: Tell) -> Iterator[DuckDBPyConnection]:
    """A connection that holds what the SELECT finds; raises as `query`."""
    if not can_be_indexed():
        raise UsageError("package duckdb is not installed, and a query is asked of it; pip install duckdb")
    import duckdb

    select = _only_select(sql)
    index = _index_of(path, tell, inform)
    with index.connected() as connection:
        make_views(connection)
        _lock(connection, index)
        try:
            with heard(connection):
                connection.execute(select)
                yield connection
        except duckdb.Error as error:
            raise UsageError(f"the query fails: {_said(error)}") from error


def _only_select(sql: str) -> str:
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise UsageError(f"the query cannot be read: {_said(error)}") from error
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        raise UsageError(f'got {", ".join(kinds) or "nothing"}; expected one SELECT, such as "{EXAMPLE}"')
    return statements[0].query


def _said(error: Exception) -> str:
    """Without the mark below the place in the text, which only shows on a line of its own."""
    return message_of(error).partition(" LINE 1:")[0]


def _index_of(path: Path, tell: Tell, inform: Tell) -> Index:
    """The index of the folder, or of the one that the run lies in, with what it cannot hold told."""
    one = (path / RUN_FILE).exists()
    folder = path.resolve().parent if one else path
    if one:
        read_run(path)
    elif not folder.is_dir() or not run_keys(folder):
        read_runs(folder)
    index = brought_up_to_date(folder, tell, inform)
    if index is None:
        raise StoreError(f"{folder} cannot be queried without its index; make room for it, or copy the runs elsewhere")
    if one:
        runs = tuple(run for run in index.runs if run.path.name == path.resolve().name)
        index = replace(index, runs=runs, apart=())
    for run in index.apart:
        tell(f"{run.path} holds what no column can, such as a number that is not finite; it is left out")
    for run in index.runs:
        tell_damages(run.damages, tell)
    return index


def _lock(connection: DuckDBPyConnection, index: Index) -> None:
    """From here on nothing can be read but the index's files, nothing written, and no setting changed."""
    files = ", ".join(duck.literal(str(file)) for file in index.files())
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
