"""Take a call apart: where its time goes, what bounds it, and what may help, with raw traces and a page."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.cli import EXIT_FAULTS, EXIT_OK, EXIT_USAGE, _options
from attnlab.bench.cli._progress import make_progress
from attnlab.bench.errors import UsageError
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import brief

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Registry
    from attnlab.bench.measuring.runner import Progress
    from attnlab.bench.measuring.steps import Step
    from attnlab.bench.profilers.profiles import CaseProfile, Profile
    from attnlab.bench.store.records import RunRecord

PAGE = "index.html"
EFFORT = {"sampling_limit_s": 1.0, "warmup_limit_s": 0.5, "turns": 0}
EPILOG = (
    "Each implementation is checked and timed by the harness before a tool sees it. Exit codes: 0 all were profiled; 1 "
    "some were not; 2 usage, or nothing could be profiled."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("operator", metavar="OPERATOR", help="what is called: `attnlab list` names all")
    parser.add_argument(
        "--impl",
        action="append",
        default=[],
        metavar="NAMES",
        help="which implementations; several are set side by side",
    )
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="a case of the operator, by id")
    parser.add_argument("-a", "--axis", action="append", default=[], metavar="AXIS=VALUES", help="set or sweep an axis")
    parser.add_argument(
        "--tool", action="append", default=[], metavar="NAMES", help="torch, samples, perf, proton, ncu, static … (all)"
    )
    parser.add_argument(
        "--arch", metavar="LIST", help="what static compiles for, such as 80,sm_90,x86-64-v4 (80, 86, 89, 90 and 100)"
    )
    parser.add_argument("--base", metavar="REV", help="set this revision's implementations beside the working tree's")
    parser.add_argument("--prepare", metavar="CMD", help="with --base: a shell command that builds a side's checkout")
    parser.add_argument("--isolated", action="store_true", help="with --base: an environment a side, as of the gate")
    parser.add_argument("--unchecked", action="store_true", help="profile what is wrong too, and mark it")
    parser.add_argument(
        "--time-limit", type=float, default=600.0, metavar="S", help="seconds for one implementation and case (600)"
    )
    parser.add_argument("--out", default="profiles", metavar="FOLDER", help="where the folder is made (profiles)")
    _options.add_plugin(parser)
    _options.add_device(parser)
    _options.add_json(parser)
    parser.set_defaults(interrupted="a profile that is not whole is not kept")


def execute(options: argparse.Namespace) -> int:
    if not options.time_limit > 0:
        raise UsageError(f"got --time-limit {options.time_limit:g}; expected seconds above 0")
    if options.base is None and (options.prepare is not None or options.isolated):
        raise UsageError(
            "--prepare and --isolated go with --base REV; name the revision to set beside the working tree"
        )
    from attnlab.bench.profilers.compiled.targets import targets_of
    from attnlab.bench.profilers.using import ALL, chosen

    targets = targets_of(options.arch) if options.arch is not None else ()

    if options.base is not None:
        from attnlab.bench.gate.checkouts import repository, revision_of

        revision_of(repository(Path.cwd()), options.base)
    registry = _options.discovered(options.plugin)
    tools = chosen(_options.read_names(options.tool) or (ALL,))
    steps, run = _planned(options, registry)

    from attnlab.bench.profilers.profiles import Profile, finish_folder, folder_in_making, write_profile, writing
    from attnlab.bench.reporters.profile_page import write_pages

    wanted = Path(options.out) / run.run_id
    with folder_in_making(wanted) as making:
        with make_progress(len(steps) * (1 if options.base is None else 2), options.json) as progress:
            cases = _taken(options, registry, steps, run, tools, targets, making, progress)
        _tell_refused(cases)
        if not any(case.records for case in cases):
            print("attnlab: nothing could be profiled; nothing is kept", file=sys.stderr)
            return EXIT_USAGE
        profile = Profile(run, cases)
        with writing(wanted):
            write_pages(profile, making)
            write_profile(profile, making)
            folder = finish_folder(making, wanted)
    _conclude(options, profile, folder)
    sound = all(case.records and case.measurement.outcome is not Outcome.FAILED for case in cases)
    return EXIT_OK if sound else EXIT_FAULTS


def _planned(options: argparse.Namespace, registry: Registry) -> tuple[list[Step], RunRecord]:
    """The steps, and the record of machine and ceilings. Raises UsageError where nothing is named."""
    from attnlab.bench.errors import UnknownName
    from attnlab.bench.machine.environment import choose_device
    from attnlab.bench.measuring.draft import draft_run
    from attnlab.bench.measuring.steps import plan, steps_of
    from attnlab.bench.measuring.suite import operator_suite
    from attnlab.bench.store.run_folder import check_writable

    if options.operator not in registry.operators:
        raise UnknownName("operator", options.operator, registry.operators.names())
    names = _options.read_names(options.impl)
    if not names:
        known = ", ".join(sorted(registry.implementations(options.operator).names()))
        raise UsageError(f"--impl names what is profiled, and was not given; {options.operator} has {known}")
    suite = operator_suite(options.operator, registry, _options.read_axes(options.axis), tuple(options.case))
    benches = plan(suite, registry, names)
    device = choose_device(options.device)
    check_writable(Path(options.out))  # before the seconds that measuring the ceilings takes
    run = draft_run(suite, tuple(benches), device, options.command_line, tuple(options.plugin))
    place = {name: number for number, name in enumerate(names)}
    return sorted(steps_of(benches, registry), key=lambda step: place[step.implementation]), run


def _taken(
    options: argparse.Namespace,
    registry: Registry,
    steps: Sequence[Step],
    run: RunRecord,
    tools: Sequence[str],
    targets: tuple[str, ...],
    making: Path,
    progress: Progress,
) -> tuple[CaseProfile, ...]:
    """A profile of each step; with --base of each step on both sides, one after the other.

    Those of one case then take bursts in turn.
    """
    from attnlab.bench.measuring.profile_order import ProfileOrder
    from attnlab.bench.measuring.profiled_run import set_side_by_side, take_profiles
    from attnlab.bench.measuring.runner import Limits, Runner
    from attnlab.bench.measuring.suite import make_effort

    limits, plugins = Limits(options.time_limit), tuple(options.plugin)
    runner = Runner(
        registry, run.environment, run.ceilings, make_effort(EFFORT), limits, plugins, run.drawn_from, cache=run.cache
    )
    order = ProfileOrder(tuple(tools), str(making.absolute()), unchecked=options.unchecked, targets=targets)
    if options.base is None:
        return set_side_by_side([(runner, list(take_profiles(runner, steps, order, "", progress)))], progress)
    from attnlab.bench.gate.checkouts import repository
    from attnlab.bench.gate.profiled_arms import profiled_arms

    repo = repository(Path.cwd())
    with profiled_arms(repo, options.base, options.prepare, options.isolated, _options.tell) as sides:
        taken = []
        for side in sides:
            own = replace(runner, begin=side.begin, plugins=side.plugins(repo, plugins))
            there = replace(order, inside=side.arm.name, interpreter=side.interpreter)
            taken.append((own, list(take_profiles(own, steps, there, side.label, progress))))
        return set_side_by_side(taken, progress)


def _tell_refused(cases: Sequence[CaseProfile]) -> None:
    """Why something was not profiled, and once for each reason which tools found nothing, with remedies."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        m = case.measurement
        if m.outcome is not Outcome.PASSED:
            wrong = m.outcome.value.startswith("wrong") and not case.wrong
            remedy = "; --unchecked profiles it all the same, and marks it" if wrong else ""
            if m.outcome is Outcome.FAILED:
                again = shlex.join(["attnlab", "check", m.operator, "--impl", m.implementation, "--case", m.case_id])
                remedy = f"; {again} shows its traceback"
            _options.tell(f"{m.operator}/{case.name} {m.case_id}: {m.outcome.value}: {brief(m.reason or '')}{remedy}")
        for use in case.tools:
            if use.refused is not None:
                by_reason.setdefault((use.tool, use.refused), []).append(case.name)
    for (tool, reason), names in by_reason.items():
        of = "" if len(names) == len(cases) else f" of {', '.join(dict.fromkeys(names))}"
        _options.tell(f"{tool} found nothing{of}: {reason}")


def _conclude(options: argparse.Namespace, profile: Profile, folder: Path) -> None:
    """What was found, a line a finding."""
    from attnlab.bench.profilers.findings import findings
    from attnlab.bench.reporters.profile_page.differences import told_differences

    found = {case.place: findings(case, profile.run.ceilings) for case in profile.cases}
    if options.json:
        told = [
            {
                "operator": case.measurement.operator,
                "implementation": case.measurement.implementation,
                "case": case.measurement.case_id,
                "side": case.side or None,
                "outcome": case.measurement.outcome.value,
                "wrong": case.wrong,
                "call_ns": case.call_ns,
                "flags": list(case.measurement.flags),
                "refused": {use.tool: use.refused for use in case.tools if use.refused is not None},
                "findings": encode(found[case.place]),
            }
            for case in profile.cases
        ]
        print(json.dumps({"folder": str(folder), "profiles": told}))
        return
    for case in profile.cases:
        marked = " (WRONG RESULT)" if case.wrong else ""
        print(f"\n{case.measurement.operator}/{case.name} {case.measurement.case_id}{marked}")
        if not case.records:
            print(f"  not profiled: {case.measurement.outcome.value}")
        elif not found[case.place]:
            print("  nothing stands out; the page has the tables")
        for flag in case.measurement.flags:
            print(f"  {flag}")
        for finding in found[case.place]:
            print(f"  {finding.says}\n    {finding.evidence}")
            if finding.try_ is not None:
                print(f"    Try: {finding.try_}")
    by_case: dict[str, list[CaseProfile]] = {}
    for case in profile.cases:
        by_case.setdefault(case.measurement.case_id, []).append(case)
    for cases in by_case.values():
        for difference in told_differences(cases):
            print(f"\n{difference}")
    print(f"\nProfile: {shlex.quote(str(folder))}\nPage: {shlex.quote(str(folder / PAGE))}")
