"""Write a report of one run or several: an HTML page, Markdown, CSV and plots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from attnlab.bench.cli import _options
from attnlab.bench.errors import PluginError, StoreError

RESULTS = Path("results")
REPORTS = Path("reports")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs (the newest under results/)")
    parser.add_argument("--out", metavar="FOLDER", help="where to write (reports/ and the run's name)")
    parser.add_argument("--format", action="append", default=[], metavar="NAMES", help="only these formats")
    _options.add_plugin(parser)
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    import json

    from attnlab.bench.registry import discover
    from attnlab.bench.reporters import write_report
    from attnlab.bench.store.jsonl import read_runs

    discover(tuple(options.plugin))
    runs = [run for path in options.runs for run in read_runs(path)] or [read_runs(RESULTS)[-1]]
    for run in runs:
        for damage in run.damages:
            print(f"attnlab: {damage}", file=sys.stderr)
        _load_again(run.run.plugins)
    folder = Path(options.out) if options.out else REPORTS / (runs[0].run.run_id if len(runs) == 1 else "together")
    try:
        paths = write_report(runs, folder, _options.read_names(options.format))
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; take another folder with --out") from error
    if options.json:
        print(json.dumps([str(path) for path in paths]))
    else:
        print("\n".join(str(path) for path in paths))
    return 0


def _load_again(plugins: Sequence[str]) -> None:
    """What a run's plugins brought, such as an operator; a plugin that is gone costs only what it knew."""
    from attnlab.bench.registry import discover

    for plugin in plugins:
        try:
            discover((plugin,))
        except PluginError as error:
            print(f"attnlab: {error}; the report goes without it", file=sys.stderr)
