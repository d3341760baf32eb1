"""A static gate as the command line runs it: compile, compare, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from attnlab.bench.contract.registry import Registry, discover
from attnlab.bench.errors import UsageError
from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.checkouts import WORKTREE, Arm, checked_out, revision_of
from attnlab.bench.gate.environments import ArmEnvironment, isolated
from attnlab.bench.gate.static import budgets
from attnlab.bench.gate.static.arms import Compiled, compiled_arm
from attnlab.bench.gate.static.asked import (
    SUITE,
    TARGETS,
    compiler_version,
    orders_of,
    source_hash,
    suite_files,
)
from attnlab.bench.gate.static.comparing import compare
from attnlab.bench.gate.static.figures import CaseFigures, figures_of
from attnlab.bench.gate.static.report import StaticReport, StaticVerdict
from attnlab.bench.gate.static.rules import StaticRule, load_rules
from attnlab.bench.measuring.suite import find_suite
from attnlab.bench.profilers.compiled.orders import CaseOrder
from attnlab.bench.profilers.compiled.targets import targets_of

Tell = Callable[[str], None]


@dataclass(frozen=True)
class StaticAsk:
    """What a static gate is asked for, as a command line gives it. rules_file: a path, None for ours."""

    command: str
    suite: str | None = None
    arch: str | None = None
    plugins: tuple[str, ...] = ()
    rules_file: Path | None = None
    allowances: Allowances = field(default_factory=Allowances)
    prepare: str | None = None
    isolate: bool = False


def against_base(repo: Path, base: str, head: str, ask: StaticAsk, tell: Tell) -> StaticReport:
    """Compile both revisions and compare. Raises UsageError, GateClosed where an arm cannot be built."""
    started, begun = datetime.now(UTC), time.monotonic()
    registry, targets = discover(ask.plugins), _targets(ask)
    with ExitStack() as stack:
        arms = stack.enter_context(checked_out(repo, base, head))
        files = suite_files(ask.suite or SUITE, registry, [arm.root for arm in arms], repo)
        orders = orders_of(files, registry, targets)
        rules, notes = _rules(ask, repo, arms[0])
        environments = stack.enter_context(isolated(arms, ask.prepare, tell)) if ask.isolate else {}
        found = [_arm(repo, arm, orders, ask, environments.get(arm.name), tell) for arm in arms]
        if environments and (changed := environments["base"].differences(environments["head"])):
            notes.append(f"environments of base and head: {', '.join(changed)}")
    sides = [{case.key: figures_of(case) for case in one.cases} for one in found]
    rows = compare(sides[0], sides[1], rules, ask.allowances)
    return StaticReport(
        run_id=f"{started:%Y%m%d-%H%M%S}-static-{Path(ask.suite or SUITE).stem}",
        suite=ask.suite or SUITE,
        started=started.isoformat(timespec="seconds"),
        command=ask.command,
        seconds=time.monotonic() - begun,
        base=arms[0].label,
        head=arms[1].label,
        targets=targets,
        rows=rows,
        compiled=sum(one.made for one in found),
        notes=tuple(notes),
    )


def _targets(ask: StaticAsk) -> tuple[str, ...]:
    return TARGETS if ask.arch is None else targets_of(ask.arch)


def _arm(
    repo: Path, arm: Arm, orders: Sequence[CaseOrder], ask: StaticAsk, own: ArmEnvironment | None, tell: Tell
) -> Compiled:
    plugins = tuple(str(Path(p).resolve()) if p.endswith(".py") else p for p in ask.plugins)
    return compiled_arm(repo, arm, orders, plugins, own, tell)


def _rules(ask: StaticAsk, repo: Path, base: Arm) -> tuple[tuple[StaticRule, ...], list[str]]:
    """Base's rules count where it has the file, so that head cannot loosen them."""
    if ask.rules_file is None:
        return load_rules(None), []
    path = ask.rules_file.resolve()
    of_base = Path(base.own_place(repo, str(path)))
    own = load_rules(path)
    if of_base == path or not of_base.is_file():
        note = [f"base has no {ask.rules_file}: the rules are head's"] if repo in path.parents else []
        return own, note
    others = load_rules(of_base)
    return others, [f"{ask.rules_file} differs between base and head: base's counts here"] if others != own else []


def against_budget(repo: Path, place: Path, ask: StaticAsk, tell: Tell, afresh: bool = False) -> StaticReport:
    """Hold the working tree's kernels against a file of budgets. afresh: compile what did not change, too."""
    started, begun = datetime.now(UTC), time.monotonic()
    budget = budgets.load_budget(place)
    suite = ask.suite or budget.suite
    targets = targets_of(ask.arch or ",".join(budget.targets))
    registry = discover(ask.plugins)
    orders = orders_of([find_suite(suite, registry)], registry, targets)
    hashes = _hashes(orders, registry)
    compilers = {"triton": compiler_version(), **_c_compilers(budget)}
    kept: dict[str, CaseFigures] = {}
    wanted = []
    for order in orders:
        key = f"{order.implementation}[{order.case_id}] {order.target}"
        known = budget.cases.get(key)
        if known is not None and not afresh and budget.holds(known, hashes.get(order.implementation), compilers):
            kept[key] = known
        else:
            wanted.append(order)
    made = _compiled(repo, wanted, ask, tell)
    head = kept | {case.key: replace(figures_of(case), sources=hashes.get(case.implementation)) for case in made.cases}
    base = {key: case for key, case in budget.cases.items() if key.rpartition(" ")[2] in targets}
    rows = compare(base, head, load_rules(ask.rules_file), ask.allowances)
    verdicts = {row.verdict for row in rows}
    notes = []
    if StaticVerdict.CHANGED in verdicts:
        notes.append(f"{place} is no longer what kernels cost; write it anew with --write-budgets")
    if StaticVerdict.NEW in verdicts:
        notes.append(f"{place} lacks kernels that are new; write it anew with --write-budgets")
    return StaticReport(
        run_id=f"{started:%Y%m%d-%H%M%S}-static-{Path(suite).stem}",
        suite=suite,
        started=started.isoformat(timespec="seconds"),
        command=ask.command,
        seconds=time.monotonic() - begun,
        base=f"budget {place}",
        head="the working tree",
        targets=targets,
        rows=rows,
        compiled=made.made,
        notes=tuple(notes),
    )


def write_budget(repo: Path, place: Path, ask: StaticAsk, tell: Tell) -> int:
    """Compile the working tree's kernels and write their figures; how many there are.

    Raises UsageError where one does not compile: nothing is written then.
    """
    if ask.suite is None and place.is_file():
        before = budgets.load_budget(place, edited=True)
        ask = replace(ask, suite=before.suite, arch=ask.arch or ",".join(before.targets))
    suite, targets, registry = ask.suite or SUITE, _targets(ask), discover(ask.plugins)
    orders = orders_of([find_suite(suite, registry)], registry, targets)
    hashes = _hashes(orders, registry)
    made = _compiled(repo, orders, ask, tell)
    if failed := [case for case in made.cases if case.failed]:
        told = "\n".join(f"{case.key}: {case.place or ''}: {case.failed}" for case in failed)
        raise UsageError(f"{len(failed)} cases do not compile, so {place} was not written; mend them:\n{told}")
    figures = [replace(figures_of(case), sources=hashes.get(case.implementation)) for case in made.cases]
    if not any(case.kernels for case in figures):
        raise UsageError(f"{suite} has no kernel that compiles for {', '.join(targets)}; name another suite or --arch")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(budgets.written(suite, targets, figures), encoding="utf-8")
    return sum(len(case.kernels) for case in figures)


def _compiled(repo: Path, orders: Sequence[CaseOrder], ask: StaticAsk, tell: Tell) -> Compiled:
    if not orders:
        return Compiled((), 0)
    arm = Arm("head", repo, revision_of(repo, WORKTREE), WORKTREE)
    return _arm(repo, arm, orders, ask, None, tell)


def _hashes(orders: Sequence[CaseOrder], registry: Registry) -> dict[str, str]:
    found = {}
    for name in dict.fromkeys(order.implementation for order in orders):
        operator, _, implementation = name.partition("/")
        if implementation in registry.implementations(operator):
            found[name] = source_hash(registry.implementations(operator).get(implementation))
    return found


def _c_compilers(budget: budgets.Budget) -> dict[str, str]:
    """Versions of the C compilers that a budget names, as they are here."""
    from attnlab.bench.profilers.compiled.c_kernels import version_of

    names = {kernel.compiler.split()[0] for case in budget.cases.values() for kernel in case.kernels} - {"triton"}
    return {name: version_of(name) for name in names}
