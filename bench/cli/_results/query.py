"""Ask stored runs in SQL: SELECT … FROM measurements, or FROM runs."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench import text_table, units
from attnlab.bench.cli import _options
from attnlab.bench.errors import StoreError, UsageError
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EPILOG = (
    'Columns and their units: docs/store.md, or `attnlab results query "DESCRIBE measurements"`. '
    "The query can read the runs and nothing else, and writes nothing."
)
FORMATS = ("table", "csv", "json", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sql", metavar="SQL", help="one SELECT, in DuckDB's SQL")
    parser.add_argument("--results", default="results", metavar="FOLDER", help="a run, or a folder of runs (results)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of what is printed, or written (table)")
    parser.add_argument("--out", metavar="FILE", help="the file to write (standard output)")


def execute(options: argparse.Namespace) -> int:
    out = Path(options.out) if options.out else None
    if options.format == "parquet" and out is None:
        raise UsageError("Parquet is not for a terminal; give a file with --out")
    if out is not None and out.exists():
        raise StoreError(f"{out} exists already; take another --out, nothing is overwritten")
    from attnlab.bench.analysis.index.query import asked

    with asked(options.sql, Path(options.results), _options.tell, _options.tell) as found:
        try:
            if options.format == "parquet" and out is not None:
                _write_parquet(found, out)
            elif out is not None:
                out.write_text(_text(found, options.format), encoding="utf-8")
            else:
                print(_text(found, options.format), end="")
        except OSError as error:
            raise StoreError(f"cannot write {out}: {error.strerror or error}; take another --out") from error
    return 0


def _text(found: DuckDBPyConnection, form: str) -> str:
    """What was found as text, which ends a line; only the terminal's table leaves digits out."""
    names = [name for name, *_ in found.description or ()]
    rows = found.fetchall()
    if form == "json":
        return json.dumps([dict(zip(names, map(_plain, row), strict=True)) for row in rows], indent=1) + "\n"
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, *([_field(value) for value in row] for row in rows)])
        return text.getvalue()
    cells = [[one_line(name) for name in names], *([_cell(value) for value in row] for row in rows)]
    numbers = {at for at in range(len(names)) if any(isinstance(row[at], (int, float)) for row in rows)}
    left = [at for at in range(len(names)) if at not in numbers]
    return "".join(f"{line}\n" for line in text_table.fitted(cells, left, text_table.terminal_width()))


def _cell(value: Any) -> str:
    if value is None:
        return units.MISSING
    return f"{value:.6g}" if isinstance(value, float) else one_line(str(value))


def _field(value: Any) -> Any:
    from attnlab.bench.analysis.csv_file import harmless

    return repr(value) if isinstance(value, float) else harmless(value)


def _plain(value: Any) -> Any:
    """As JSON has it: null for a number that is not finite, text for what JSON knows nothing of."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else str(value)


def _write_parquet(found: DuckDBPyConnection, out: Path) -> None:
    from attnlab.bench.analysis.index import duck

    table = found.df()
    with duck.connected() as connection:
        connection.register("found", table)
        connection.execute(f"COPY found TO {duck.literal(str(out))} (FORMAT parquet)")
