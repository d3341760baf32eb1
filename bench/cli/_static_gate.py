"""`attnlab gate --static`: what compilers made of kernels, against a base or a budget."""

from __future__ import annotations

import argparse
from pathlib import Path

from attnlab.bench.cli._gate_output import tell_progress, write_comment
from attnlab.bench.errors import StoreError, UsageError
from attnlab.bench.gate.checkouts import repository, revision_of
from attnlab.bench.store.folders import new_folder

TIMED_ALONE = ("pytest", "thresholds", "aa", "strict")


def execute(options: argparse.Namespace) -> int:
    """Compile, compare, write and show; the exit code."""
    for name in TIMED_ALONE:
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} is of the gate that measures; leave it out with --static")
    if options.base and (options.budgets or options.write_budgets or options.afresh):
        raise UsageError("--base REV and budgets were given; compare with one of them")
    if options.base is None and (options.isolated or options.prepare or options.head != "worktree"):
        raise UsageError("--isolated, --prepare and --head need a --base REV; budgets are held by the working tree")
    comment = Path(options.comment) if options.comment else None
    if comment is not None and not comment.absolute().parent.is_dir():
        raise UsageError(f"--comment {comment}: there is no folder {comment.parent}; make it first")
    repo = repository(Path.cwd())
    for revision in filter(None, (options.base, options.head)):
        revision_of(repo, revision)

    from attnlab.bench.gate.allowances import Allowances
    from attnlab.bench.gate.static import budgets, outputs, running
    from attnlab.bench.profilers.compiled.targets import targets_of

    if options.arch is not None:
        targets_of(options.arch)  # told before the seconds that the rest takes
    ask = running.StaticAsk(
        command=options.command_line,
        suite=options.suite,
        arch=options.arch,
        plugins=tuple(options.plugin),
        rules_file=Path(options.rules) if options.rules else None,
        allowances=Allowances(tuple(options.allow_removed), tuple(options.allow_new_baseline)),
        prepare=options.prepare,
        isolate=options.isolated,
    )
    place = Path(options.budgets) if options.budgets else budgets.FILE
    if options.write_budgets:
        count = running.write_budget(repo, place, ask, tell_progress)
        print(f"Budgets of {count} kernels: {place}")
        return 0
    if options.base:
        report = running.against_base(repo, options.base, options.head, ask, tell_progress)
    else:
        report = running.against_budget(repo, place, ask, tell_progress, options.afresh)
    print("\n".join(outputs.lines(report)))
    if comment is not None:
        write_comment(comment, outputs.comment(report))
    outputs.show_on_github(report)
    folder = _folder(Path(options.out), report.run_id)
    outputs.write(folder, report)
    print(f"\nGate: {folder}")
    return report.exit_code


def _folder(parent: Path, name: str) -> Path:
    try:
        return new_folder(parent / name)
    except OSError as error:
        raise StoreError(f"cannot write to {parent}: {error.strerror}; take another folder with --out") from error
