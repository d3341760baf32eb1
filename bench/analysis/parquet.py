"""Many runs as one Parquet file, one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.analysis.frame import samples_frame
from attnlab.bench.errors import StoreError
from attnlab.bench.store.run_folder import StoredRun

if TYPE_CHECKING:
    import pandas as pd


LARGEST = 2**63 - 1  # of a whole number


def compact(runs: Sequence[StoredRun], out: Path) -> int:
    """Write every sample of the runs to `out`, and return their number; raises StoreError."""
    table = samples_frame(runs)
    try:
        write_parquet(table, out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}; take another --out") from error
    return len(table)


def write_parquet(table: pd.DataFrame, out: Path) -> None:
    """A column of values of several types, or of a type that Parquet may not have, becomes text.

    Parquet has one type a column. Raises OSError.
    """
    mixed = {str(name): table[name].map(_text) for name in table.columns if _is_text(table[name])}
    table.assign(**mixed).to_parquet(out, index=False)


def _is_text(column: pd.Series[Any]) -> bool:
    if column.dtype != object:
        return False
    held = [value for value in column if value is not None]
    kinds = {type(value) for value in held if value == value}
    return len(kinds) > 1 or bool(kinds & {list, dict}) or (kinds == {int} and max(map(abs, held)) > LARGEST)


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)  # NaN is no text
