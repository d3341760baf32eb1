"""Print the tables again that `attnlab run` ended with."""

from __future__ import annotations

import argparse

from attnlab.bench.cli import _options
from attnlab.bench.cli._results._reading import add_folder, read_all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)
    _options.add_plugin(parser)


def execute(options: argparse.Namespace) -> int:
    runs = read_all([options.folder])
    from attnlab.bench.cli._table import show

    registry = _options.discovered(options.plugin)
    for run in runs:
        print(f"{run.path}\n")
        show(run, registry)
        print()
    return 0
