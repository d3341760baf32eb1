"""Write all samples of many runs into one Parquet file, a row each."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from attnlab.bench.cli import _options
from attnlab.bench.cli._results._reading import add_folder, read_all
from attnlab.bench.errors import StoreError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)
    parser.add_argument("--out", default="results.parquet", metavar="FILE", help="the file to write (results.parquet)")
    _options.add_plugin(parser)


def execute(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("package pyarrow is not installed; install attnlab with its extra 'parquet'")
    out = Path(options.out)
    if out.exists():
        raise StoreError(f"{out} exists already; take another --out, nothing is overwritten")
    runs = read_all([options.folder])
    from attnlab.bench.analysis.parquet import compact

    _options.discovered(options.plugin)
    rows = compact(runs, out)
    print(f"{rows} samples in {out}")
    return 0
