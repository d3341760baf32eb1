"""Ask stored runs in SQL: SELECT … FROM measurements, or FROM runs."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from attnlab.bench import text_table, units
from attnlab.bench.cli import _options
from attnlab.bench.errors import StoreError, UsageError
from attnlab.bench.text import one_line
from attnlab.bench.whole_file import whole_file

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EPILOG = (
    'Columns and their units: docs/store.md, or `attnlab results query "DESCRIBE measurements"`. '
    "The query can read the runs and nothing else, and writes nothing."
)
FORMATS = ("table", "csv", "json", "parquet")
MOST_ROWS = 10_000  # of a table in a terminal
BATCH = 2_000  # rows


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
        if out is None:
            _write(found, options.format, sys.stdout)
        else:
            _write_file(found, options.format, out)
    return 0


def _write_file(found: DuckDBPyConnection, form: str, out: Path) -> None:
    """The whole file, or none."""
    try:
        with whole_file(out) as part:
            if form == "parquet":
                _write_parquet(found, part)
                return
            with part.open("w", encoding="utf-8", newline="") as file:
                _write(found, form, file)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}; take another --out") from error


def _write(found: DuckDBPyConnection, form: str, out: TextIO) -> None:
    """What was found as text; only the terminal's table leaves digits and rows out."""
    names = _apart([name for name, *_ in found.description or ()])
    if form == "json":
        _write_json(names, _rows(found), out)
    elif form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(_field, names))
        writer.writerows(map(_field, row) for row in _rows(found))
    else:
        _write_table(names, found, out)


def _rows(found: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """All rows, of which few are in memory at a time."""
    while batch := found.fetchmany(BATCH):
        yield from batch


def _apart(names: Sequence[str]) -> list[str]:
    """Names of columns, with `_1`, `_2` … after one that another has."""
    used: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        used[next(one for one in itertools.chain([name], numbered) if one not in used)] = None
    return list(used)


def _write_json(names: Sequence[str], rows: Iterator[tuple[Any, ...]], out: TextIO) -> None:
    before = "["
    for row in rows:
        text = json.dumps(dict(zip(names, map(_plain, row), strict=True)), indent=1)
        out.write(f"{before}\n{textwrap.indent(text, ' ')}")
        before = ","
    out.write("\n]\n" if before == "," else "[]\n")


def _write_table(names: Sequence[str], found: DuckDBPyConnection, out: TextIO) -> None:
    rows = list(itertools.islice(_rows(found), MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        _options.tell(f"the first {MOST_ROWS} rows are shown; for all: --format csv, json, or parquet with --out")
        del rows[MOST_ROWS:]
    cells = [[one_line(name) for name in names], *([_cell(value) for value in row] for row in rows)]
    numbers = {at for at in range(len(names)) if any(isinstance(row[at], (int, float)) for row in rows)}
    left = [at for at in range(len(names)) if at not in numbers]
    out.writelines(f"{line}\n" for line in text_table.fitted(cells, left, text_table.terminal_width()))


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
