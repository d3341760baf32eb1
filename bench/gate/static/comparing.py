"""Holds head's kernels against base's by rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from attnlab.bench.gate.allowances import Allowance, Allowances
from attnlab.bench.gate.static.figures import CaseFigures, KernelFigures, paired
from attnlab.bench.gate.static.report import BrokenRule, StaticRow, StaticVerdict
from attnlab.bench.gate.static.rules import StaticRule

ORDER = tuple(StaticVerdict)


def compare(
    base: Mapping[str, CaseFigures],
    head: Mapping[str, CaseFigures],
    rules: Sequence[StaticRule],
    allowances: Allowances,
) -> tuple[StaticRow, ...]:
    """A row for each kernel of both sides, what needs attention first. Keys are those of cases."""
    rows: list[StaticRow] = []
    for key in dict.fromkeys((*head, *base)):
        rows += _case(base.get(key), head.get(key), key, rules)
    marked = [_allowed(row, allowances) for row in rows]
    return tuple(sorted(marked, key=lambda row: (not row.stops, ORDER.index(row.verdict))))


def _allowed(row: StaticRow, allowances: Allowances) -> StaticRow:
    needed = {StaticVerdict.MISSING: Allowance.REMOVED, StaticVerdict.NEW: Allowance.NEW_BASELINE}.get(row.verdict)
    return row if needed is None else replace(row, allowed_by=allowances.find(row.key, needed))


def _case(
    base: CaseFigures | None, head: CaseFigures | None, key: str, rules: Sequence[StaticRule]
) -> Iterator[StaticRow]:
    if head is None or head.missing:
        if base is not None and base.kernels:
            yield StaticRow(key, StaticVerdict.MISSING, reason="base has it and head has not")
        return
    if head.failed is not None:
        yield StaticRow(key, StaticVerdict.UNCOMPILED, reason=head.failed, place=head.place)
        return
    before = base.kernels if base is not None else ()
    if head.unserved is not None and not before:
        yield StaticRow(key, StaticVerdict.UNSERVED, reason=head.unserved)
        return
    if head.unserved is not None:
        yield StaticRow(key, StaticVerdict.MISSING, reason=f"base serves it, head does not: {head.unserved}")
        return
    unbuilt = f"base does not compile: {base.failed.splitlines()[0]}" if base and base.failed else None
    same_source = base is not None and base.sources is not None and base.sources == head.sources
    for old, new in paired(before, head.kernels):
        name = new.name if new else old.name if old else ""
        yield _kernel(f"{key} {name}", old, new, rules, same_source, unbuilt)


def _kernel(
    key: str,
    old: KernelFigures | None,
    new: KernelFigures | None,
    rules: Sequence[StaticRule],
    same_source: bool,
    unbuilt: str | None,
) -> StaticRow:
    if new is None:
        return StaticRow(key, StaticVerdict.GONE, base=old.values if old else None, reason="head launches it no longer")
    broken = tuple(
        BrokenRule(
            rule.quantity,
            old.values.get(rule.quantity) if old else None,
            new.values.get(rule.quantity, 0.0),
            allowed,
            not rule.report_only,
        )
        for rule in {rule.quantity: rule for rule in rules if rule.fits(key)}.values()
        if (allowed := rule.broken(old, new)) is not None
    )
    if any(rule.gated for rule in broken):
        verdict = StaticVerdict.WORSE
    elif old is None:
        verdict = StaticVerdict.NEW
    else:
        verdict = StaticVerdict.SAME if old.values == new.values else StaticVerdict.CHANGED
    causes = tuple(_causes(old, new, same_source)) if old is not None else ()
    return StaticRow(key, verdict, broken, old.values if old else None, new.values, new.place, causes, unbuilt)


def _causes(old: KernelFigures, new: KernelFigures, same_source: bool) -> Iterator[str]:
    """What may be behind a change."""
    if old.compiler != new.compiler:
        alone = ", and the source is the same: the compiler alone is the cause" if same_source else ""
        yield f"another compiler: {old.compiler} → {new.compiler}{alone}"
    if old.name != new.name:
        yield f"it was called {old.name}"
    if old.constants and old.constants != new.constants:
        both = dict.fromkeys((*old.constants, *new.constants))
        changed = [name for name in both if old.constants.get(name) != new.constants.get(name)]
        told = [f"{n} {old.constants.get(n, 'none')} → {new.constants.get(n, 'none')}" for n in changed[:4]]
        yield f"launched with other constants: {', '.join(told)}"
