"""Stop a slower revision: measure base and head in live pairs, and give verdicts and an exit code."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from attnlab.bench.cli import EXIT_INTERRUPTED, _options
from attnlab.bench.cli._gate_output import tell_progress, write_comment
from attnlab.bench.errors import UsageError
from attnlab.bench.gate.checkouts import checked_out, repository, revision_of

STATIC_ALONE = ("arch", "rules", "budgets", "write_budgets", "afresh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", metavar="REV", help="the revision to compare with: main, HEAD~1, v1.2")
    parser.add_argument("--head", default="worktree", metavar="REV", help="what is gated (worktree: as it lies there)")
    parser.add_argument("--suite", metavar="SUITE", help="a suite's name, or a .toml file")
    parser.add_argument(
        "--pytest",
        nargs="+",
        action="extend",
        default=[],
        metavar="TEST",
        help="files of tests that use the fixture attnlab_bench, folders, or patterns in quotes",
    )
    parser.add_argument("--thresholds", metavar="FILE", help="TOML: target, alpha, pairs, targets by benchmark")
    parser.add_argument("--prepare", metavar="CMD", help="a shell command that builds an arm, run in its checkout")
    parser.add_argument("--isolated", action="store_true", help="an environment a side, by --prepare or its own lock")
    parser.add_argument("--aa", action="store_true", help="base against itself: false-alarm rate, least slowdown seen")
    for name, what in (("removed", "missing or failing on head"), ("new-baseline", "missing or failing on base")):
        parser.add_argument(
            f"--allow-{name}",
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"benchmarks that may be {what}, as a shell pattern on their keys; may be repeated",
        )
    parser.add_argument("--strict", action="store_true", help="exit code 4 where any verdict is inconclusive")
    _options.add_plugin(parser)
    parser.add_argument("--comment", metavar="FILE.md", help="write the verdicts as a comment on a pull request")
    parser.add_argument(
        "--static", action="store_true", help="compare what compilers make of kernels; no GPU, nothing is measured"
    )
    parser.add_argument("--arch", metavar="LIST", help="with --static: targets such as 80,sm_90,x86-64-v4")
    parser.add_argument("--rules", metavar="FILE", help="with --static: TOML with [[rule]] tables, added to ours")
    parser.add_argument(
        "--budgets", metavar="FILE", help="with --static, without --base: what to compare with (kernels/budgets.toml)"
    )
    parser.add_argument("--write-budgets", action="store_true", help="with --static: write that file, compare nothing")
    parser.add_argument("--afresh", action="store_true", help="with --static: compile what is unchanged too")
    parser.add_argument("--out", default="results", metavar="FOLDER", help="where the gate's folder is made (results)")


def execute(options: argparse.Namespace) -> int:
    if options.static:
        from attnlab.bench.cli import _static_gate

        return _static_gate.execute(options)
    static_alone = [name for name in STATIC_ALONE if getattr(options, name)]
    if static_alone:
        raise UsageError(f"--{static_alone[0].replace('_', '-')} belongs to --static; add it, or leave this out")
    if options.base is None:
        raise UsageError("the gate was given nothing to compare with; name --base REV, such as main or HEAD~1")
    if not options.suite and not options.pytest:
        raise UsageError("the gate was given nothing to measure; name --suite SUITE, --pytest TEST, or both")
    comment = Path(options.comment) if options.comment else None
    if comment is not None and not comment.absolute().parent.is_dir():
        raise UsageError(f"--comment {comment}: there is no folder {comment.parent}; make it first")
    repo = repository(Path.cwd())
    for revision in (options.base, options.head):
        revision_of(repo, revision)  # told before the seconds that imports, and measuring the ceilings, may take

    from attnlab.bench.gate.outputs.comment import render
    from attnlab.bench.gate.outputs.github import annotate, summarise
    from attnlab.bench.gate.outputs.terminal import show
    from attnlab.bench.gate.running import ask_for, run_gate
    from attnlab.bench.gate.source import Source
    from attnlab.bench.gate.suite_source import SuiteSource
    from attnlab.bench.gate.thresholds import load_thresholds

    thresholds_file = Path(options.thresholds) if options.thresholds else None
    thresholds = load_thresholds(thresholds_file).allowing(options.allow_removed, options.allow_new_baseline)
    sources: list[Source] = [SuiteSource(options.suite, tuple(options.plugin))] if options.suite else []
    if options.pytest:
        from attnlab.bench.pytesting.arms.source import PytestSource

        sources.append(PytestSource(tuple(options.pytest)))
    ask = ask_for(
        sources,
        thresholds,
        options.command_line,
        strict=options.strict,
        against_itself=options.aa,
    )
    with checked_out(repo, options.base, options.base if options.aa else options.head) as (base, head):
        if options.aa:
            head = replace(base, name="head")
        report, folder = run_gate(
            repo,
            base,
            head,
            ask,
            Path(options.out),
            options.prepare,
            tell_progress,
            thresholds_file=thresholds_file,
            isolate=options.isolated,
        )
    show(report)
    if comment is not None:
        write_comment(comment, render(report))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        annotate(report)
        summarise(report)
    print(f"\nGate: {folder}")
    return EXIT_INTERRUPTED if report.interrupted else report.exit_code
