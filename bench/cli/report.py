"""Write a report of one run or several: an HTML page, Markdown, CSV and plots."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.cli import _options
from attnlab.bench.cli._usage import check_formats
from attnlab.bench.errors import StoreError
from attnlab.bench.store.damages import tell_damages
from attnlab.bench.store.folders import folder_name
from attnlab.bench.store.run_folder import read_runs, run_folders

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Registry
    from attnlab.bench.store.run_folder import StoredRun

RESULTS = Path("results")
REPORTS = Path("reports")
TOGETHER = "together"  # the folder of a report of several runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs (the newest under results/)")
    parser.add_argument("--out", metavar="FOLDER", help="where to write (reports/ and the run's name)")
    parser.add_argument(
        "--history",
        metavar="FOLDER",
        help="earlier runs: what moved since the last one on the same machine, and the history with its changes",
    )
    parser.add_argument("--format", action="append", default=[], metavar="NAMES", help="only these formats")
    _options.add_plugin(parser)
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    formats = _options.read_names(options.format)
    check_formats(formats, options.plugin)
    runs = [run for path in options.runs for run in read_runs(path, _options.tell)] or [_newest()]
    earlier = _earlier(options.history, runs) if options.history else []
    for run in (*runs, *earlier):
        tell_damages(run.damages, _options.tell)
    from attnlab.bench.reporters import write_report  # this and the registry take seconds to import

    _tell_unknown(runs, _options.discovered(options.plugin))
    name = folder_name(runs[0].run.run_id) if len(runs) == 1 else TOGETHER
    folder = Path(options.out) if options.out else REPORTS / name
    try:
        paths = write_report(runs, folder, formats, earlier=earlier)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; take another folder with --out") from error
    if options.json:
        print(json.dumps([str(path) for path in paths]))
    else:
        print("\n".join(str(path) for path in paths))
    return 0


def _newest() -> StoredRun:
    run_folders(RESULTS)
    from attnlab.bench.analysis.index.newest import newest_run  # numpy: not for a typing error

    return newest_run(RESULTS, _options.tell)


def _earlier(folder: str, runs: Sequence[StoredRun]) -> list[StoredRun]:
    run_folders(folder)
    from attnlab.bench.analysis.sides import side_of

    operators = {m.operator for run in runs for m in run.measurements}
    return side_of(folder, _options.tell, _options.tell, operators)


def _tell_unknown(runs: Sequence[StoredRun], registry: Registry) -> None:
    """Name what only plugins know. They are never imported because a stored run names them: that would be its code."""
    unknown = dict.fromkeys(
        m.operator
        for run in runs
        for m in run.measurements
        if run.run.imported is None and m.operator not in registry.operators
    )
    plugins = dict.fromkeys(plugin for run in runs for plugin in run.run.plugins)
    if unknown:
        _options.tell(
            f"nothing here knows {', '.join(unknown)}, so the report has less to say of it; if you trust what the run "
            f"was made with, name it: {' '.join(f'--plugin {shlex.quote(plugin)}' for plugin in plugins)}"
        )
