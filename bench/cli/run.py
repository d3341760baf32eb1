"""Run a suite, or one operator, and store what was measured."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench import units
from attnlab.bench.cli import EXIT_FAULTS, EXIT_NOTHING, EXIT_OK, _options
from attnlab.bench.cli._progress import make_progress
from attnlab.bench.cli._usage import check_run
from attnlab.bench.errors import UsageError
from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import check_writable, latest, read_record, read_run
from attnlab.bench.text import brief, command_without, count

if TYPE_CHECKING:
    from attnlab.bench.cli._forecast import Forecast
    from attnlab.bench.contract.registry import Registry
    from attnlab.bench.measuring.suite import Suite
    from attnlab.bench.store.records import BenchRecord, Measurement, RunRecord
    from attnlab.bench.store.run_folder import RunWriter

Key = tuple[str, str, str]
OWN_FOLDER = ""  # stands for the folder that is a shard's
MOST_NAMED = 3  # cases, and reasons, in one line
EPILOG = (
    "Exit codes: 0 every table of the suite has results; 1 something was wrong, failed or timed out; 2 usage; 3 of a "
    "whole table nothing could be measured, since every implementation was unavailable. Single cases of which that "
    "is so are named."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="SUITE|OPERATOR", help="a suite's name, a .toml file or an operator")
    _add_what(parser.add_argument_group("what is measured"))
    _add_how(parser.add_argument_group("how it is measured"))
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--plan", action="store_true", help="say what would be measured, and about how long it takes, and end"
    )
    run.add_argument(
        "--nodes",
        metavar="N|FILE",
        help="with --plan: what it takes on so many nodes like this machine, or on the cluster that a .toml file says",
    )
    run.add_argument(
        "--on",
        metavar="CLUSTER",
        help="measure on the nodes of a cluster, into one run here: ray (that of RAY_ADDRESS, or this machine), or "
        "ray://HOST:PORT; --device then takes a kind of GPU too",
    )
    run.add_argument(
        "--shard",
        metavar="I/N",
        help="measure the Ith of N parts only, as other machines do the others; `attnlab results merge` makes one run "
        "of them",
    )
    run.add_argument("--out", default="results", metavar="FOLDER", help="where the run's folder is made (results)")
    run.add_argument(
        "--resume",
        nargs="?",
        const=OWN_FOLDER,
        metavar="RUN",
        help="go on with this run's folder, measuring only what it lacks; with --shard and no RUN, with its own",
    )
    run.add_argument("--retry", action="store_true", help="with --resume: measure again what did not pass, too")
    _options.add_json(run)


def _add_what(group: _options.Arguments) -> None:
    group.add_argument("--impl", action="append", default=[], metavar="NAMES", help="only these implementations")
    group.add_argument("--case", action="append", default=[], metavar="ID", help="a case of the operator, by id")
    group.add_argument(
        "-a",
        "--axis",
        action="append",
        default=[],
        metavar="AXIS=VALUES",
        help="set or sweep an axis: q_len=1024,4096",
    )
    _options.add_plugin(group)
    _options.add_device(group)
    _options.add_servers(group)


def _add_how(group: _options.Arguments) -> None:
    group.add_argument(
        "--quick",
        action="store_true",
        help="a quick look at whatever is run (not the suite of that name): check once, take few samples and no "
        "turns; the run is marked, and no gate takes it",
    )
    group.add_argument(
        "--turns",
        type=int,
        metavar="N",
        help="rounds of fresh processes in which those near the fastest of a case take turns (6; 0: none)",
    )
    group.add_argument(
        "--time-limit",
        type=float,
        default=120.0,
        metavar="S",
        help="seconds for one implementation and case (120)",
    )
    group.add_argument(
        "--memory-limit",
        metavar="BYTES",
        help="memory for one implementation, such as 8GiB or 500MB (80 %% of what is free; of a GPU, all)",
    )
    group.add_argument(
        "--keep-failures",
        action="store_true",
        help="keep inputs and outputs of failed checks, and what is wrong first, in the run's folder (see `check`)",
    )


def execute(options: argparse.Namespace) -> int:
    check_run(options)
    from attnlab.bench.cli._forecast import forecast_of, tell_all
    from attnlab.bench.cli._resume import Remembering, is_tried_again, open_run
    from attnlab.bench.cli._servers import with_servers
    from attnlab.bench.cli._sharding import finished, part_of
    from attnlab.bench.machine.environment import choose_device
    from attnlab.bench.measuring.bundles import bundles
    from attnlab.bench.measuring.draft import choose_suite, draft_run
    from attnlab.bench.measuring.runner import Limits, Runner
    from attnlab.bench.measuring.sharding import remaining
    from attnlab.bench.measuring.share import read_share
    from attnlab.bench.measuring.steps import plan, steps_of
    from attnlab.bench.measuring.suite import make_effort, quick_look

    share = None if options.shard is None else read_share(options.shard)
    memory_bytes = None if options.memory_limit is None else read_memory(options.memory_limit)
    registry = _options.discovered(options.plugin)
    axes = with_servers(options.server, options.key_env, _options.read_axes(options.axis))
    suite = choose_suite(options.target, registry, axes, tuple(options.case))
    if options.quick:
        suite = quick_look(suite)
    elif options.turns is not None:
        suite = replace(suite, effort={**suite.effort, "turns": options.turns})
    device = "cpu" if options.on else choose_device(options.device)
    part = part_of(share, suite, tuple(plan(suite, registry, _options.read_names(options.impl))), registry, device)
    if options.resume == OWN_FOLDER:
        options.resume = part.folder_in(Path(options.out))
        options.command_line = shlex.join(command_without(options.command_line, "--resume"))
    for note in suite.notes:
        print(f"attnlab: {note}", file=sys.stderr)
    if options.plan:
        draft = draft_run(suite, part.benches, device, options.command_line, tuple(options.plugin), timed=False)
        return _tell_plan(options, draft, registry)
    if options.on:
        return _execute_on(options, suite, part.benches, registry, memory_bytes)
    if options.resume is None:
        check_writable(Path(options.out))  # before the seconds that measuring the ceilings takes
    draft = part.marked(draft_run(suite, part.benches, device, options.command_line, tuple(options.plugin)))
    writer, run, before = open_run(options, draft, registry)
    machine = next(iter(draft.machines), None)
    every = steps_of(list(run.benches), registry)
    held = [m for m in before if not is_tried_again(m, options)]
    taken, kept = remaining(bundles(run.benches, registry), held, machine, int(make_effort(run.effort).turns))
    steps = [step for step in every if step in taken]
    again = {m.key: m for m in before if m.key in {step.key for step in taken}}
    runner = Runner(
        registry,
        run.environment,
        run.ceilings,
        make_effort(run.effort),
        Limits(options.time_limit, memory_bytes),
        tuple(options.plugin),
        run.drawn_from,
        cache=run.cache,
        keep_failures=writer.folder if options.keep_failures else None,
    )
    forecast = forecast_of(run, steps, registry, options.time_limit)
    if not options.json:
        tell_all(filter(None, (part.line(), *forecast.lines())), sys.stderr)
    started = time.monotonic()
    left = forecast.time_left(started)
    try:
        with make_progress(len(steps), options.json, left) as progress:
            for measured in runner.run(steps, Remembering(writer, again, machine), progress, kept):
                if options.keep_failures:
                    _keep(writer, measured, run, tuple(options.plugin))
        _raise_ceilings(writer)
        finished(read_record(writer.folder), writer)
    except KeyboardInterrupt:
        print(f"\nattnlab: go on with: {run.command} --resume {_quoted(writer.folder)}", file=sys.stderr)
        raise
    finally:
        writer.close()
    return _conclude(options, writer, registry, len(steps), len(every) - len(steps), time.monotonic() - started)


def _execute_on(
    options: argparse.Namespace,
    suite: Suite,
    benches: tuple[BenchRecord, ...],
    registry: Registry,
    memory_bytes: int | None,
) -> int:
    """Measure on a cluster."""
    from attnlab.bench.cli._on import measure_on
    from attnlab.bench.measuring.draft import draft_run

    check_writable(Path(options.out))
    started = time.monotonic()
    draft = draft_run(suite, benches, "cpu", options.command_line, tuple(options.plugin), timed=False)
    done = measure_on(options, draft, registry, memory_bytes)
    return _conclude(options, done.writer, registry, done.now, done.before, time.monotonic() - started)


def _tell_plan(options: argparse.Namespace, draft: RunRecord, registry: Registry) -> int:
    """Say what the run would take, and measure nothing: not even ceilings that are not known yet."""
    from attnlab.bench.cli._forecast import forecast_of, tell_all
    from attnlab.bench.cli._resume import is_tried_again
    from attnlab.bench.measuring.steps import steps_of

    done: set[Key] = set()
    if options.resume is not None:
        before = latest(read_run(Path(options.resume)).measurements)
        done = {m.key for m in before if not is_tried_again(m, options)}
    steps = [step for step in steps_of(list(draft.benches), registry) if step.key not in done]
    forecast = forecast_of(draft, steps, registry, options.time_limit)
    if options.nodes is not None:
        return _tell_cluster(options, draft, registry, forecast, done)
    if options.json:
        print(json.dumps(forecast.record()))
    else:
        tell_all(forecast.lines(), sys.stdout)
    return EXIT_OK if forecast.cost.running or not steps else EXIT_NOTHING


def _tell_cluster(
    options: argparse.Namespace, draft: RunRecord, registry: Registry, forecast: Forecast, done: set[Key]
) -> int:
    """The same, and what nodes make of it; of a cluster of another device, that alone."""
    from attnlab.bench.cli._cluster import plan_cluster
    from attnlab.bench.cli._forecast import tell_all
    from attnlab.bench.measuring.forecast.cluster import read_cluster

    cluster = read_cluster(options.nodes)
    told = plan_cluster(draft, registry, cluster, options.time_limit, done)
    here = cluster.device is None
    if options.json:
        print(json.dumps((forecast.record() if here else {}) | {"cluster": None if told is None else told.record()}))
    else:
        tell_all(forecast.lines() if here else (), sys.stdout)
        tell_all(("no bundle is left to measure",) if told is None else told.lines(), sys.stdout)
    return EXIT_NOTHING if told is None else EXIT_OK


def _keep(writer: RunWriter, measured: Measurement, run: RunRecord, plugins: tuple[str, ...]) -> None:
    """Keep a failure, and say how it is made again; that it cannot be kept loses nothing else."""
    from attnlab.bench.measuring.failures.keeping import keep_failed

    try:
        folder = keep_failed(writer.folder, measured, run.environment.device.kind, run.drawn_from, plugins)
    except OSError as error:
        print(f"attnlab: a failed check cannot be kept in {writer.folder}: {error.strerror}", file=sys.stderr)
        return
    if folder is not None:
        named = " ".join(f" --plugin {shlex.quote(plugin)}" for plugin in plugins)
        print(f"attnlab: kept; make it again by: attnlab check {_quoted(folder)}{named}", file=sys.stderr)


def read_memory(text: str) -> int:
    """Bytes of `8GiB`, `12000MB` or a plain number; raises UsageError on another spelling, or less than torch needs."""
    from attnlab.bench.measuring.runner import LEAST_MEMORY_BYTES

    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    size = float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " ") if found else 0.0
    if not LEAST_MEMORY_BYTES <= size < 2**63:
        least = units.format_bytes(LEAST_MEMORY_BYTES)
        raise UsageError(f"got --memory-limit {text!r}; expected {least} or more, such as 8GiB or 12000MB")
    return int(size)


def _raise_ceilings(writer: RunWriter) -> None:
    """Measure the ceilings again where results pass them: nothing is faster than the device allows."""
    from attnlab.bench.doctor.raising import doubts, raised

    stored = read_run(writer.folder)
    passing = doubts(stored.run, stored.measurements)
    if not passing:
        return
    print(f"attnlab: {count(passing, 'result')} above measured ceilings: measuring these again", file=sys.stderr)
    better = raised(stored.run)
    writer.rewrite(better)
    if left := doubts(better, stored.measurements):
        print(f"attnlab: {count(left, 'result')} still above them, as the report says", file=sys.stderr)


def _conclude(
    options: argparse.Namespace,
    writer: RunWriter,
    registry: Registry,
    measured_now: int,
    measured_before: int,
    seconds: float,
) -> int:
    """Show what the run holds; the exit code."""
    from attnlab.bench.cli._table import show

    stored = read_run(writer.folder)
    measured = latest(stored.measurements)
    if options.json:
        outcomes = {o.value: sum(m.outcome is o for m in measured) for o in Outcome}
        print(json.dumps({"run": str(writer.folder), "outcomes": outcomes}))
    else:
        show(stored, registry)
        print(f"\n{measured_now} measured in {seconds:.0f} s, {measured_before} taken from before.")
        print(f"Run: {writer.folder}\nReport: attnlab report {_quoted(writer.folder)}")
    if any(m.outcome not in (Outcome.PASSED, Outcome.UNAVAILABLE) for m in measured):
        return EXIT_FAULTS
    whole = [_tell_unmeasured(bench, measured) for bench in stored.run.benches]
    return EXIT_NOTHING if any(whole) else EXIT_OK


def _tell_unmeasured(bench: BenchRecord, measured: Sequence[Measurement]) -> bool:
    """Name the cases of a table that nothing could be measured of; whether that is all of them."""
    own = [m for m in measured if m.operator == bench.operator and m.implementation in bench.implementations]
    passed = {m.case_id for m in own if m.outcome is Outcome.PASSED}
    lost = [case for case in bench.cases if case not in passed]
    if lost:
        reasons = dict.fromkeys(f"{m.implementation}: {brief(m.reason or '')}" for m in own if m.case_id in lost)
        named, why = (", ".join(list(told)[:MOST_NAMED]) for told in (lost, reasons))
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        print(
            f"attnlab: nothing could be measured of {bench.operator} {named}{more}: none is available; {why}",
            file=sys.stderr,
        )
    return len(lost) == len(bench.cases)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
