"""Search the configurations of an implementation, such as tile sizes, for the fastest that is right."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.cli import EXIT_FAULTS, EXIT_OK, _options
from attnlab.bench.cli._usage import check_tune
from attnlab.bench.errors import StoreError
from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import check_writable, read_run

if TYPE_CHECKING:
    from attnlab.bench.analysis.landscape import Landscape
    from attnlab.bench.store.records import Measurement, RunRecord
    from attnlab.bench.tuning.session import SearchPlan

TIME_LIMIT_S = 300.0  # for one candidate
WRONG = (Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE, Outcome.WRONG_VALUES)
EPILOG = (
    "Exit codes: 0 searched, whether or not anything is faster than what is built in; 1 a result was wrong, or what is "
    "built in could not be timed; 2 usage. Candidates that fail, as for want of shared memory, are told."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("operator", metavar="OPERATOR", help="an operator")
    parser.add_argument("--impl", required=True, metavar="NAME", help="the implementation whose space is searched")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="a case, by id; may be repeated")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="search only these values of a name: block_q=64,128",
    )
    parser.add_argument(
        "--turns", type=int, metavar="N", help="rounds of fresh processes between the best and what is built in (8)"
    )
    parser.add_argument("--plan", action="store_true", help="say what would be searched and how long it takes, and end")
    parser.add_argument("--out", default="results", metavar="FOLDER", help="where its folder is made (results)")
    parser.add_argument("--resume", metavar="RUN", help="go on with this search's folder")
    parser.add_argument(
        "--keep",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="keep a winner for launchers to use (ATTNLAB_CONFIGS, or the folder of the kernels)",
    )
    _options.add_plugin(parser)
    _options.add_device(parser)
    _options.add_json(parser)
    parser.set_defaults(retry=False)


def execute(options: argparse.Namespace) -> int:
    only = check_tune(options)
    from attnlab.bench.analysis.landscape import landscapes
    from attnlab.bench.cli._landscape import show, tell_plan
    from attnlab.bench.cli._resume import open_run
    from attnlab.bench.machine.environment import choose_device, describe_device
    from attnlab.bench.measuring.draft import draft_run
    from attnlab.bench.measuring.suite import Suite, operator_suite
    from attnlab.bench.store.tuning import extra_of
    from attnlab.bench.tuning.keeping import check_keepable, folder_of, keep
    from attnlab.bench.tuning.session import TURNS, plan_search

    registry = _options.discovered(options.plugin)
    device = describe_device(choose_device(options.device))
    (bench,) = operator_suite(options.operator, registry, {}, tuple(options.case)).benches
    turns = TURNS if options.turns is None else options.turns
    plugins = tuple(options.plugin)
    plan = plan_search(
        registry, options.operator, options.impl, bench.cases, device, only, turns, plugins, _options.tell
    )
    suite = Suite(f"tune-{options.operator}-{options.impl}", (), effort=plan.effort)
    configs = None if options.keep is None else folder_of(options.keep)
    if configs is not None:
        check_keepable(configs, device.name)  # what is wrong with it is told before minutes of measuring
    if options.resume is None and not options.plan:
        check_writable(Path(options.out))
    draft = draft_run(
        suite,
        plan.benches,
        device.kind,
        options.command_line,
        plugins,
        timed=not options.plan,
        known=plan.registry,
    )
    draft = replace(draft, extra=extra_of(plan.tuning))
    if options.plan:
        before = read_run(Path(options.resume)).measurements if options.resume else ()
        return tell_plan(plan, draft, before, options.json)
    writer, run, done = open_run(options, draft, plan.registry)
    try:
        plan = replace(plan, tuning=_same_search(run, plan, writer.folder, options.command_line))
        if not options.json:
            tell_plan(plan, run, done, as_json=False, stream=sys.stderr)
        lost = _search(plan, run, writer, done, options)
    except KeyboardInterrupt:
        print(f"\nattnlab: go on with: {_again(run, writer.folder)}", file=sys.stderr)
        raise
    finally:
        writer.close()
    found = landscapes(read_run(writer.folder))
    kept: tuple[Path, list[str]] | None = keep(found, run, configs) if configs is not None else None
    if options.json:
        print(json.dumps(_record(found, writer.folder, kept)))
    else:
        show(found)
        _tell_end(found, run, writer.folder, kept)
    for why in lost:
        _options.tell(f"what is built in could not be timed: {why}")
    wrong = any(m.outcome in WRONG for m in _measured(found))
    return EXIT_FAULTS if lost or wrong else EXIT_OK


def _search(
    plan: SearchPlan, run: RunRecord, writer: Any, done: Sequence[Measurement], options: argparse.Namespace
) -> list[str]:
    from attnlab.bench.measuring.runner import Limits, Runner
    from attnlab.bench.measuring.suite import make_effort
    from attnlab.bench.tuning.session import run_search

    runner = Runner(
        plan.registry,
        run.environment,
        run.ceilings,
        make_effort(run.effort),
        Limits(TIME_LIMIT_S),
        tuple(options.plugin),
        run.drawn_from,
        cache=run.cache,
    )

    def tell(line: str) -> None:
        if not options.json:
            print(line, file=sys.stderr, flush=True)

    return run_search(plan, runner, writer, done, tell)


def _same_search(run: RunRecord, plan: SearchPlan, folder: Path, command: str) -> Any:
    """The search that a folder holds. Raises StoreError where it is of other candidates than this command's."""
    from attnlab.bench.cli._resume import resume_words
    from attnlab.bench.store.tuning import tuning_of

    tuning = tuning_of(run)
    if tuning is None or replace(tuning, turns=plan.tuning.turns) != plan.tuning:
        raise StoreError(f"{folder} is a search of other configurations; {resume_words(run, command, folder)}")
    return tuning


def _again(run: RunRecord, folder: Path) -> str:
    return f"{run.command.partition(' --resume ')[0]} --resume {shlex.quote(str(folder))}"


def _measured(found: Sequence[Landscape]) -> list[Measurement]:
    return [one.measured for landscape in found for one in landscape.candidates if one.measured is not None]


def _tell_end(found: Sequence[Landscape], run: RunRecord, folder: Path, kept: tuple[Path, list[str]] | None) -> None:
    if kept is not None:
        path, lines = kept
        print("\n".join(f"Kept in {path}: {line}" for line in lines) or "Nothing is kept: there is no winner.")
    elif any(landscape.winner for landscape in found):
        print(f"Keep: {_again(run, folder)} --keep")
    print(f"Run: {folder}\nReport: attnlab report {shlex.quote(str(folder))}")


def _record(found: Sequence[Landscape], folder: Path, kept: tuple[Path, list[str]] | None) -> dict[str, Any]:
    """The same for machines: times over the built-in one's."""
    from attnlab.bench.cli._landscape import record

    return {
        "run": str(folder),
        "cases": [record(landscape) for landscape in found],
        "kept": str(kept[0]) if kept is not None and kept[1] else None,
    }
