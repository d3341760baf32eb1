"""Many runs as one Parquet file, one row a sample."""

from __future__ import annotations

from pathlib import Path

from attnlab.bench.errors import StoreError
from attnlab.bench.store.frame import load


def compact(folder: Path, out: Path) -> int:
    """Write every sample below `folder` to `out`, and return their number; raises StoreError."""
    table = load(folder, samples=True)
    try:
        table.to_parquet(out, index=False)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}; take another --out") from error
    return len(table)
