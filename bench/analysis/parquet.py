"""Many runs as one Parquet file, one row a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnlab.bench.analysis.frame import samples_frame
from attnlab.bench.errors import StoreError
from attnlab.bench.store.run_folder import StoredRun


def compact(runs: Sequence[StoredRun], out: Path) -> int:
    """Write every sample of the runs to `out`, and return their number; raises StoreError."""
    table = samples_frame(runs)
    try:
        table.to_parquet(out, index=False)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}; take another --out") from error
    return len(table)
