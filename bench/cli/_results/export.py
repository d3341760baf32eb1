"""Write runs for other tools: CSV, Parquet, Bencher's metric format, or a trace for Perfetto."""

from __future__ import annotations

import argparse
from pathlib import Path

from attnlab.bench.cli import _options
from attnlab.bench.cli._results._reading import read_all

EPILOG = "Formats: csv, parquet, bencher, perfetto."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--format", required=True, metavar="NAME", help="what to write")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write; nothing is overwritten")
    parser.add_argument(
        "--samples", action="store_true", help="each stored value instead of each result (csv, parquet)"
    )
    _options.add_plugin(parser)


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.exchange.writers import WRITERS, export

    WRITERS.get(options.format)
    runs = read_all(options.runs)
    _options.discovered(options.plugin)
    told = export(runs, options.format, Path(options.out), options.samples)
    print(f"{told} in {options.out}")
    return 0
