"""Plot benchmarks over stored runs, with change points and what changed in the environment there."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.cli import _options
from attnlab.bench.errors import StoreError, UnknownName
from attnlab.bench.store.run_folder import run_folders
from attnlab.bench.text import file_stem

if TYPE_CHECKING:
    from attnlab.bench.analysis.history.lines import BenchmarkHistory, Key

RESULTS = "results"
PLOTS = "reports/history"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "benchmark",
        nargs="?",
        metavar="BENCHMARK",
        help="OPERATOR, OPERATOR/IMPLEMENTATION or OPERATOR/IMPLEMENTATION/CASE (all)",
    )
    parser.add_argument("results", nargs="?", metavar="RESULTS", help="a folder of runs (results)")
    parser.add_argument("--impl", action="append", default=[], metavar="NAMES", help="only these implementations")
    parser.add_argument("--case", action="append", default=[], metavar="IDS", help="only these cases, by id")
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="what to follow, such as ttft_ns (the time of a call; where there is none, the first metric there is)",
    )
    parser.add_argument("--out", default=PLOTS, metavar="FOLDER", help=f"where plots are written ({PLOTS})")
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    name, folder = _places(options.benchmark, options.results)
    run_folders(folder)
    from attnlab.bench.analysis.history.lines import benchmark  # scipy: not for a typing error
    from attnlab.bench.analysis.history.sources import opened_source
    from attnlab.bench.cli import _history

    source = opened_source(folder, _options.tell, _options.tell)
    if len(source.runs) == 1:
        raise StoreError(
            f"{folder} holds one run, {source.runs[0]}, and a history needs two or more; "
            "run the suite again, or give the folder that holds several"
        )
    impls, cases = _options.read_names(options.impl), _options.read_names(options.case)
    chosen = _choose(source.benchmarks(), name, impls, cases)
    found = [one for runs in source.of(chosen, options.metric) if (one := benchmark(runs)) is not None]
    if not found:
        raise StoreError(
            f"none of {len(chosen)} benchmarks chosen has {options.metric or 'a time'} in {len(source.runs)} runs of "
            f"{folder}; "
            "see why with `attnlab report`, or choose others"
        )
    paths = _plot(found, Path(options.out))
    if options.json:
        print(json.dumps(_history.as_json(found, paths), indent=1))
    else:
        _history.show(found, len(chosen) - len(found), options.metric, paths)
    return 0


def _places(benchmark: str | None, results: str | None) -> tuple[str | None, Path]:
    """What was named; a folder of runs may stand alone."""
    if benchmark is not None and results is None and _holds_runs(Path(benchmark)):
        return None, Path(benchmark)
    return benchmark, Path(results or RESULTS)


def _holds_runs(folder: Path) -> bool:
    return (folder / "run.json").exists() or any(folder.glob("*/run.json"))


def _choose(known: Sequence[Key], name: str | None, impls: Sequence[str], cases: Sequence[str]) -> list[Key]:
    """Those that fit the name and both options; raises UnknownName on a name that no run has."""
    chosen = list(known)
    if name is not None:
        chosen = [one for one in chosen if name.rstrip("/") in (_prefix(one, parts) for parts in (1, 2, 3))]
        if not chosen:
            parts = name.rstrip("/").count("/") + 1
            raise UnknownName("benchmark", name, {_prefix(one, parts) for one in known})
    for kind, place, wanted in (("implementation", 1, impls), ("case", 2, cases)):
        for text in wanted:
            if all(one[place] != text for one in chosen):
                raise UnknownName(kind, text, {one[place] for one in chosen})
        chosen = [one for one in chosen if not wanted or one[place] in wanted]
    if not chosen:
        raise StoreError("no run measured any of these implementations on any of these cases; ask for fewer at once")
    return chosen


def _prefix(key: Key, parts: int) -> str:
    return "/".join(key[:parts])


def _plot(benchmarks: Sequence[BenchmarkHistory], folder: Path) -> list[Path]:
    """One plot for each implementation of an operator."""
    from attnlab.bench.reporters.draw.timeline import write_timelines

    groups: dict[str, list[BenchmarkHistory]] = {}
    for one in benchmarks:
        groups.setdefault(file_stem(f"{one.operator}-{one.implementation}"), []).append(one)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for stem, members in groups.items() for path in write_timelines(members, folder / stem)]
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; take another folder with --out") from error
