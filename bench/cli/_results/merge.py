"""Make one run of shards or continuations, where suite, machine, code and settings are the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from attnlab.bench.cli._results._reading import read_all
from attnlab.bench.text import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--out", default="results", metavar="FOLDER", help="the folder of runs to write to (results)")


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.store.merging import merge

    folder, number = merge(read_all(options.runs), Path(options.out))
    print(f"{count(number, 'measurement')} in {folder}")
    return 0
