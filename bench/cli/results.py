"""Show the tables of stored runs again, or turn many runs into one Parquet table."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from attnlab.bench.cli import _options
from attnlab.bench.errors import StoreError, UsageError
from attnlab.bench.store.run_folder import StoredRun, read_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "show: the tables that `attnlab run` ends with; compact: one row a sample, into one Parquet file"
    parser.add_argument("action", choices=["show", "compact"], help=what)
    parser.add_argument("folder", nargs="?", default="results", help="a run, or a folder of runs (results)")
    parser.add_argument("--out", default="results.parquet", metavar="FILE", help="the file to write (results.parquet)")
    _options.add_plugin(parser)


def execute(options: argparse.Namespace) -> int:
    return {"show": _show, "compact": _compact}[options.action](options)


def _show(options: argparse.Namespace) -> int:
    runs = _read(options.folder)
    from attnlab.bench.cli._table import show

    registry = _options.discovered(options.plugin)
    for run in runs:
        print(f"{run.path}\n")
        show(run, registry)
        print()
    return 0


def _compact(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("package pyarrow is not installed; install attnlab with its extra 'parquet'")
    out = Path(options.out)
    if out.exists():
        raise StoreError(f"{out} exists already; take another --out, nothing is overwritten")
    runs = _read(options.folder)
    from attnlab.bench.analysis.parquet import compact

    _options.discovered(options.plugin)
    rows = compact(runs, out)
    print(f"{rows} samples in {out}")
    return 0


def _read(folder: str) -> list[StoredRun]:
    """The runs of a folder; what is damaged of them is told."""
    runs = read_runs(folder, _options.tell)
    for damage in (damage for run in runs for damage in run.damages):
        print(f"attnlab: {damage}; left out", file=sys.stderr)
    return runs
