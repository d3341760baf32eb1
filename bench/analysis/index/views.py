"""The tables that a query sees: `measurements`, a row for each implementation and case of each run, and `runs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from attnlab.bench.analysis import columns
from attnlab.bench.analysis.index.duck import identifier
from attnlab.bench.analysis.index.index import ROWS, RUNS
from attnlab.bench.analysis.index.rows import LARGEST, MEASUREMENT_COLUMNS, RUN_COLUMNS
from attnlab.bench.analysis.metrics import own_metrics

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INSIDE = ("number", "position", "outline", "record")  # columns of segments that say nothing to others
MACHINE = ("processor", "threads", "torch", "revision")
OF_RUN = ("run", "run_id", "started", "suite", "device", "code", "imported", *MACHINE)
PLACES = ("line", "byte_offset", "byte_length")


def make_views(connection: DuckDBPyConnection) -> None:
    """Make both; each axis of any case is a column of `measurements`, typed by what it holds."""
    cases = [case for (case,) in connection.execute(f'SELECT DISTINCT "case" FROM {ROWS}').fetchall()]
    metrics = [metric.name for metric in own_metrics()]
    own = [name for name in MEASUREMENT_COLUMNS if name not in INSIDE]
    axes = _make_cases(connection, cases, ("place", *INSIDE, *OF_RUN, *own, *metrics))
    ordered = columns.in_order(map(identifier, axes), own_metrics())
    wanted = ["run", *ordered, *MACHINE, "case", *PLACES]
    named = ", ".join(name if name.startswith('"') else identifier(name) for name in wanted)
    of_run = ", ".join(("place", *OF_RUN))
    connection.execute(
        f"CREATE VIEW measurements AS SELECT {named} FROM {ROWS} "
        f'JOIN (SELECT {of_run} FROM {RUNS}) USING (place) JOIN cases USING ("case")'
    )
    shown = ", ".join(name for name in RUN_COLUMNS if name not in INSIDE)
    connection.execute(f"CREATE VIEW runs AS SELECT {shown} FROM {RUNS}")


def _make_cases(connection: DuckDBPyConnection, cases: Sequence[str], taken: Iterable[str]) -> list[str]:
    """A table of all cases, with a column for each axis; the names of those."""
    values = [msgspec.json.decode(case) for case in cases]
    axes = _named(list(dict.fromkeys(name for case in values for name in case)), taken)
    kinds = {axis: _type_of([case[axis] for case in values if case.get(axis) is not None]) for axis in axes.values()}
    typed = "".join(f", {identifier(name)} {kinds[axis]}" for name, axis in axes.items())
    connection.execute(f'CREATE TABLE cases ("case" VARCHAR{typed})')
    if cases:
        marks = ", ".join("?" * (1 + len(axes)))
        rows = [
            [text, *(_as_type(case.get(axis), kinds[axis]) for axis in axes.values())]
            for text, case in zip(cases, values, strict=True)
        ]
        connection.executemany(f"INSERT INTO cases VALUES ({marks})", rows)
    return list(axes)


def _named(axes: Sequence[str], taken: Iterable[str]) -> dict[str, str]:
    """Column names to axes; SQL takes no empty name, and no two that differ in capitals alone."""
    used = {name.casefold() for name in taken}
    found: dict[str, str] = {}
    for axis in axes:
        name = axis if axis and axis.casefold() not in used else f"axis_{axis}"
        while name.casefold() in used:
            name += "_"
        used.add(name.casefold())
        found[name] = axis
    return found


def _type_of(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int} and all(abs(value) <= LARGEST for value in values):
        return "BIGINT"
    return "DOUBLE" if kinds and kinds <= {int, float} else "VARCHAR"


def _as_type(value: Any, kind: str) -> Any:
    if kind != "VARCHAR" or value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
