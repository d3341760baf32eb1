"""Run a suite, or one operator, and store what was measured."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.cli import EXIT_FAULTS, EXIT_OK, _options
from attnlab.bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from attnlab.bench.registry import Registry
    from attnlab.bench.store.jsonl import RunWriter
    from attnlab.bench.store.records import BenchRecord, RunRecord
    from attnlab.bench.suite import Suite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="SUITE|OPERATOR", help="a suite's name, a .toml file or an operator"
    )
    parser.add_argument(
        "--impl", action="append", default=[], metavar="NAMES", help="only these implementations"
    )
    parser.add_argument(
        "--case", action="append", default=[], metavar="ID", help="a case of the operator, by id"
    )
    parser.add_argument(
        "-a",
        "--axis",
        action="append",
        default=[],
        metavar="AXIS=VALUES",
        help="set or sweep an axis: q_len=1024,4096",
    )
    _options.add_plugin(parser)
    _options.add_device(parser)
    parser.add_argument(
        "--out", default="results", metavar="FOLDER", help="where the run's folder is made (results)"
    )
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with this run's folder, measuring only what it lacks"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=120.0,
        metavar="S",
        help="seconds for one implementation and case (120)",
    )
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench import roofline
    from attnlab.bench.cli._progress import make_progress
    from attnlab.bench.cli._table import show
    from attnlab.bench.environment import choose_device, describe_environment
    from attnlab.bench.registry import discover
    from attnlab.bench.runner import Limits, Runner, plan, steps_of
    from attnlab.bench.store.jsonl import latest, read_run
    from attnlab.bench.store.records import Outcome, RunRecord
    from attnlab.bench.suite import make_effort

    if not options.time_limit > 0:
        raise UsageError(f"got --time-limit {options.time_limit:g}; expected seconds above zero")
    registry = discover(tuple(options.plugin))
    suite = choose_suite(options, registry)
    benches = plan(suite, registry, _options.read_names(options.impl))
    environment = describe_environment(choose_device(options.device))
    record = RunRecord(
        run_id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{suite.name}",
        suite=suite.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["attnlab", *sys.argv[1:]]),
        benches=tuple(benches),
        environment=environment,
        ceilings=roofline.load_or_measure(environment.device),
        seed=0,
        plugins=tuple(options.plugin),
    )
    writer, done = _open(options, record)
    steps = [step for step in steps_of(benches, registry) if step.key not in done]
    runner = Runner(
        registry, environment, record.ceilings, make_effort(suite), Limits(options.time_limit), record.plugins
    )
    started = time.monotonic()
    try:
        with make_progress(len(steps), quiet=options.json) as progress:
            for _ in runner.run(steps, writer, progress):
                pass
    finally:
        writer.close()
    stored = read_run(writer.folder)
    measured = latest(stored.measurements)
    if options.json:
        outcomes = {o.value: sum(m.outcome is o for m in measured) for o in Outcome}
        json.dump({"run": str(writer.folder), "outcomes": outcomes}, sys.stdout)
        print()
    else:
        show(stored, registry)
        print(
            f"\n{len(steps)} measured in {time.monotonic() - started:.0f} s, {len(done)} taken from before."
        )
        print(f"Run: {writer.folder}\nReport: attnlab report {shlex.quote(str(writer.folder))}")
    good = (Outcome.PASSED, Outcome.UNAVAILABLE)
    return EXIT_OK if all(m.outcome in good for m in measured) else EXIT_FAULTS


def choose_suite(options: argparse.Namespace, registry: Registry) -> Suite:
    """The suite, or one made of an operator's cases, with the command line's axes."""
    from attnlab.bench.suite import find_suite, load_suite, operator_suite

    axes = _options.read_axes(options.axis)
    if options.target in registry.operators:
        return operator_suite(options.target, registry, axes, tuple(options.case))
    path = find_suite(options.target, registry)
    if options.case:
        raise UsageError(
            f"--case goes with an operator, and {options.target!r} is a suite; narrow it with -a"
        )
    return load_suite(path, registry, axes)


def _open(options: argparse.Namespace, record: RunRecord) -> tuple[RunWriter, set[tuple[str, str, str]]]:
    """A new run's folder, or the one to resume with the keys that it holds already."""
    from attnlab.bench.store.jsonl import RunWriter, read_run

    if options.resume is None:
        return RunWriter.create(_free_folder(Path(options.out), record.run_id), record), set()
    stored = read_run(Path(options.resume))
    for damage in stored.damages:
        print(f"attnlab: {damage}; measured again", file=sys.stderr)
    _check_same(stored.run, record, Path(options.resume))
    try:
        return RunWriter(stored.path), {m.key for m in stored.measurements}
    except OSError as error:
        raise StoreError(f"cannot write to {stored.path}: {error.strerror}") from error


def _check_same(before: RunRecord, now: RunRecord, folder: Path) -> None:
    def what(benches: tuple[BenchRecord, ...]) -> list[tuple[str, tuple[str, ...]]]:
        return [(bench.operator, bench.cases) for bench in benches]

    if before.suite != now.suite or what(before.benches) != what(now.benches):
        raise StoreError(
            f"{folder} is a run of suite {before.suite!r} with other cases than this command's {now.suite!r}; "
            f"resume it by its own command: {before.command} --resume {folder}"
        )
    if before.environment.device != now.environment.device:
        raise StoreError(
            f"{folder} was measured on {before.environment.device.name}, and this is {now.environment.device.name}; "
            f"start a run of its own for each device"
        )


def _free_folder(parent: Path, run_id: str) -> Path:
    """A folder that does not exist yet: two runs that start in one second get one each."""
    candidates = (parent / (run_id if not n else f"{run_id}-{n + 1}") for n in range(100))
    return next(folder for folder in candidates if not folder.exists())
