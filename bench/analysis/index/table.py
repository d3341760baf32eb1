"""The table of all measurements, from an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from attnlab.bench.analysis import columns
from attnlab.bench.analysis.index.duck import identifier
from attnlab.bench.analysis.index.index import ROWS, RUNS, Index
from attnlab.bench.analysis.index.rows import MEASUREMENT_COLUMNS, type_of
from attnlab.bench.analysis.metrics import own_metrics

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    Codes = NDArray[np.intp]

OF_RUN = ("run_id", "started", "suite", "device", "code", "imported")
TEXTS = tuple(name for name in columns.FIXED if MEASUREMENT_COLUMNS.get(name) == "VARCHAR")
FEW = ("samples", "deterministic")


def frame_of(index: Index) -> pd.DataFrame:
    """The table that `frame` makes of the same runs; raises what DuckDB raises."""
    import numpy as np
    import pandas as pd

    metrics = own_metrics()
    words = [metric.name for metric in metrics if type_of(metric) == "VARCHAR"]
    numbers = [*columns.TIMES, *(metric.name for metric in metrics if metric.name not in words)]
    with index.connected() as connection:
        texts = {name: _unlike(connection, name) for name in ("case", *TEXTS, *words)}
        wanted = [_code(name) if known else f"NULL::BIGINT AS {identifier(name)}" for name, known in texts.items()]
        wanted += map(identifier, ("place", "position", *FEW, *numbers))
        found: dict[str, Any] = connection.execute(f"SELECT {', '.join(wanted)} FROM {ROWS}").fetchnumpy()
        of_runs = connection.execute(f"SELECT {', '.join(OF_RUN)} FROM {RUNS} ORDER BY place").fetchall()
    order = np.lexsort((found.pop("position"), found["place"]))
    with_rows, places = np.unique(found.pop("place")[order], return_inverse=True)
    made = {name: _column([of_runs[place][at] for place in with_rows], places) for at, name in enumerate(OF_RUN)}
    coded = {name: _in_turn(known, found.pop(name), order) for name, known in texts.items()}
    cases, of_case = coded.pop("case")
    values = [msgspec.json.decode(case) for case in cases]
    axes = columns.axes_of(values, (*columns.FIXED, *(metric.name for metric in metrics)))
    made |= {column: _column([case.get(axis) for case in values], of_case) for column, axis in axes.items()}
    for name, (known, codes) in coded.items():
        made[name] = _column(known, codes) if name in TEXTS or texts[name] else np.full(len(order), np.nan)
    for name in FEW:
        few, codes = np.unique(np.ma.filled(found[name].astype(float), np.nan), return_inverse=True)
        restored = [None if np.isnan(value) else found[name].dtype.type(value).item() for value in few]
        made[name] = _column(restored, codes[order])
    for name in numbers:
        made[name] = np.ma.filled(np.ma.asarray(found.pop(name), dtype=float), np.nan)[order]
    wanted_order = columns.in_order(axes, metrics)
    return pd.DataFrame({name: made[name] for name in wanted_order}, columns=wanted_order, copy=False)


def _unlike(connection: DuckDBPyConnection, name: str) -> list[str]:
    """All texts of a column, in the order of the codes that they have from now on."""
    column, kind = identifier(name), identifier(f"code of {name}")
    texts = f"SELECT DISTINCT {column} FROM {ROWS} WHERE {column} IS NOT NULL"
    if connection.execute(f"{texts} LIMIT 1").fetchone() is None:
        return []
    connection.execute(f"CREATE TYPE {kind} AS ENUM ({texts})")
    (known,) = connection.execute(f"SELECT enum_range(NULL::{kind})").fetchall()
    return list(known[0])


def _code(name: str) -> str:
    return f"enum_code({identifier(name)}::{identifier(f'code of {name}')}) AS {identifier(name)}"


def _in_turn(known: Sequence[Any], codes: Any, order: Codes) -> tuple[list[Any], Codes]:
    """What the rows hold, in the order in which it first appears among them, and for each row which of it."""
    import numpy as np

    plain = np.ma.filled(np.ma.asarray(codes).astype(np.int64), -1)[order]
    met, first, inverse = np.unique(plain, return_index=True, return_inverse=True)
    turn = np.argsort(first)
    place = np.empty_like(turn)
    place[turn] = np.arange(len(turn))
    return [None if code < 0 else known[code] for code in met[turn]], place[inverse]


def _column(values: Sequence[Any], codes: Codes) -> Any:
    """For each row one of the values, of the type that a table of them has."""
    import pandas as pd

    unlike = pd.DataFrame([{"value": value} for value in values], columns=["value"])["value"]
    return unlike.array.take(codes)
