"""Connections to DuckDB, and what it reads and writes of an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS_A_GROUP = 8192  # of a Parquet file; one benchmark's rows lie together, so that most groups are passed over
OFF = ("autoinstall_known_extensions", "autoload_known_extensions")
SETTINGS = (
    "SET python_enable_replacements = false",  # no variable of Python is a table
    "SET enable_progress_bar = false",
    "SET temp_directory = ''",  # nothing is written beside what is asked for
    "SET preserve_insertion_order = false",
)


@contextmanager
def connected() -> Iterator[DuckDBPyConnection]:
    """A database of its own, in memory, that fetches nothing."""
    import duckdb

    with duckdb.connect(":memory:", config=dict.fromkeys(OFF, False)) as connection:
        for setting in SETTINGS:
            connection.execute(setting)
        yield connection


def identifier(name: str) -> str:
    """A name as SQL quotes it."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """A text as SQL quotes it."""
    return "'{}'".format(text.replace("'", "''"))


def paths(files: Sequence[Path]) -> str:
    """Files as a list in SQL. What stands for several files in DuckDB's patterns stands for itself here."""
    return f"[{', '.join(literal(_plain(file)) for file in files)}]"


def _plain(file: Path) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(file))


def to_parquet(connection: DuckDBPyConnection, source: str, order: Sequence[str], out: Path) -> int:
    """Write what a query finds, sorted, and return the number of its rows."""
    by = ", ".join(map(identifier, order))
    copied = connection.execute(
        f"COPY ({source} ORDER BY {by}) TO {literal(str(out))} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROWS_A_GROUP})"
    ).fetchone()
    return int(copied[0]) if copied else 0


def json_lines(file: Path, columns: Mapping[str, str]) -> str:
    """A query of a file of JSON texts, one a line."""
    struct = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    return f"SELECT * FROM read_json({paths([file])}, format = 'newline_delimited', columns = {{{struct}}})"
