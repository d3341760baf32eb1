"""How actions read runs: what is damaged of them is told, and the rest is used."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from attnlab.bench.cli import _options
from attnlab.bench.store.damages import tell_damages
from attnlab.bench.store.run_folder import StoredRun, read_runs


def add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="results", help="a run, or a folder of runs (results)")


def read_all(folders: Sequence[str]) -> list[StoredRun]:
    """The runs in all folders, each told apart by its place; a run that is named twice is read once."""
    found: dict[str, StoredRun] = {}
    for folder in folders:
        for run in read_runs(folder, _options.tell):
            found.setdefault(str(run.path.resolve()), run)
    for run in found.values():
        tell_damages(run.damages, _options.tell)
    return list(found.values())
