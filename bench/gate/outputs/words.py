"""A gate's rows in plain words, for every format alike."""

from __future__ import annotations

import itertools
import shlex

from attnlab.bench import units
from attnlab.bench.gate.checkouts import WORKTREE
from attnlab.bench.gate.quantities import CONFIGURATION, quantities
from attnlab.bench.gate.report import ErrorRates, GateReport
from attnlab.bench.gate.rows import GateRatio, GateRow, GroupRow, QuantityRow, Standing
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.records import CALLABLE

WORDS = {Verdict.SLOWER: "worse", Verdict.FASTER: "better"}
MOST_COMMANDS = 5  # of those that take apart what got slower
UNSEEN = "its interval reaches past what may go unseen"
ORDER = (Verdict.SLOWER, Verdict.INCOMPARABLE, Verdict.INCONCLUSIVE, Verdict.FASTER, Verdict.SAME, None)


def ordered(report: GateReport) -> list[GateRow]:
    """Rows with what needs attention first."""
    return sorted(report.rows, key=_urgency)


def _urgency(row: GateRow) -> tuple[bool, int, str]:
    """By the worst that is said of a benchmark, its latency's verdict or another quantity's."""
    worst = min(ORDER.index(found.verdict) for found in row.judged)
    return not any(found.closed for found in row.judged), worst, row.key


def verdict(row: GateRow | QuantityRow | GroupRow) -> str:
    """`slower` and `faster` of times, `worse` and `better` of what else there is."""
    if not isinstance(row, GroupRow) and row.standing is not Standing.COMPARED:
        return str(row.standing.value)
    if row.verdict is None:
        return units.MISSING
    plain = isinstance(row, QuantityRow) and row.unit != "ns"
    return WORDS.get(row.verdict, row.verdict.value) if plain else row.verdict.value


def told(row: GateRow) -> list[QuantityRow]:
    """The quantities that a reader wants to know of: what moved or could not be told, what is worse first."""
    return sorted((q for q in row.quantities if q.told), key=lambda q: (not q.closed, ORDER.index(q.verdict)))


def quantity(row: QuantityRow) -> str:
    """`peak memory: worse: 1.00 MiB → 257 MiB, by +256 MiB (+256 to +256 MiB)`."""
    said = [f"{row.label}: {verdict(row)}" if row.gated else f"{row.label} changed"]
    said += [text for text in (quantity_values(row), quantity_change(row)) if text]
    return "; ".join([": ".join([said[0], ", ".join(said[1:])]) if said[1:] else said[0], *quantity_remarks(row)])


def quantity_values(row: QuantityRow) -> str:
    """Base's value and head's; those of a configuration are words, which stand in the remarks."""
    if row.quantity == CONFIGURATION:
        return row.reason or ""
    return f"{units.format_value(row.base, row.unit)} → {units.format_value(row.head, row.unit)}"


def quantity_change(row: QuantityRow) -> str:
    """As `change` of a time of warm calls; of others the difference in their own unit, with its interval."""
    if row.first is None or row.base is None or row.quantity == CONFIGURATION:
        return ""
    if not row.added:
        return change(row.first)
    ends = (
        sorted((row.first.low, row.first.high), key=lambda end: end or 0.0) if row.first.low and row.first.high else []
    )
    shown = [_signed(_difference(row, ratio), row.unit) for ratio in (row.first.ratio, *ends)]
    if not ends:
        return f"by {shown[0]} (no interval with {row.first.pairs} pairs)"
    low, high = shown[1:] if row.direction == "lower" else shown[:0:-1]
    return f"by {shown[0]} ({low} to {high})"


def _difference(row: QuantityRow, ratio: float | None) -> float:
    """Head less base, in the quantity's unit, for a worsening by that ratio."""
    assert row.base is not None
    assert ratio is not None
    return (row.base + row.added) * ((ratio if row.direction == "lower" else 1 / ratio) - 1)


def _signed(value: float, unit: str) -> str:
    return f"{'+' if value > 0 else ''}{units.format_value(value or 0.0, unit)}"


def quantity_remarks(row: QuantityRow) -> list[str]:
    """What else there is to say of a quantity."""
    said = [row.reason] if row.reason and row.quantity != CONFIGURATION else []
    if row.confirmation is not None:
        found = "confirmed" if row.verdict in (Verdict.SLOWER, Verdict.FASTER) else "suspected at first, not confirmed"
        said.append(f"{found} on fresh processes")
    if row.unseen:
        said.append(UNSEEN)
    return said if row.gated else [*said, "reported, not gated"]


def change(ratio: GateRatio | None) -> str:
    """`+5.1 % (+3.9 to +6.2 %)`: time on head over base, less one, with its interval."""
    if ratio is None:
        return units.MISSING
    if ratio.low is None or ratio.high is None:
        return f"{units.signed_percent(ratio.ratio - 1)} (no interval with {ratio.pairs} pairs)"
    low, high = units.signed_percent(ratio.low - 1), units.signed_percent(ratio.high - 1)
    return f"{units.signed_percent(ratio.ratio - 1)} ({low.removesuffix(' %')} to {high})"


def times(row: GateRow) -> str:
    return f"{units.format_time(row.base_ns)} → {units.format_time(row.head_ns)}"


def explanation(row: GateRow) -> str:
    """What else there is to say of a row; empty where there is nothing."""
    return "; ".join([*causes(row), *row.flags])


def causes(row: GateRow) -> list[str]:
    """Why a row is as it is, as far as that is known."""
    said = [text for text in (row.reason, row.uncovered) if text]
    if row.allowed_by is not None:
        said.append(f"allowed by {row.allowed_by}")
    if row.confirmation is not None:
        differs = row.verdict in (Verdict.SLOWER, Verdict.FASTER)
        what = "confirmed on fresh processes" if differs else "suspected at first, not confirmed on fresh processes"
        said.append(f"{what}: {change(row.confirmation)}")
    if row.unseen:
        said.append(UNSEEN)
    if row.moved is not None:
        before, after = units.format_time(row.moved.base_ns), units.format_time(row.moved.head_ns)
        said.append(f"what moved: {row.moved.name}, {before} → {after}")
    if row.unexplained is not None:
        said.append(row.unexplained)
    return said


def commands(report: GateReport) -> list[str]:
    """What takes apart each benchmark that got slower, on both revisions side by side; of tests there is none."""
    found = [row for row in report.rows if row.verdict is Verdict.SLOWER and row.operator != CALLABLE]
    if not found or report.head.asked != WORKTREE:
        return []
    given = shlex.split(report.command)
    plugins = [word for option, name in itertools.pairwise(given) if option == "--plugin" for word in (option, name)]
    made = []
    for row in found[:MOST_COMMANDS]:
        what = "--impl", row.implementation, "--case", row.case_id
        made.append(shlex.join(["attnlab", "profile", row.operator, *what, "--base", report.base.asked, *plugins]))
    return made


def group_name(group: GroupRow) -> str:
    """`attention/naive, all cases (geometric mean)`, with the quantity where it is not latency."""
    name, _, of = group.name.partition("#")
    label = f", {quantities()[of].label}" if of else ""
    return f"{name}{label}, all cases (geometric mean)"


def scatter(found: ErrorRates) -> str:
    """`1.50 % (1.10 to 1.90 %)`."""
    low, high = 100 * found.scatter_low, 100 * found.scatter_high
    return f"{units.format_share(found.scatter)} ({units.format_interval(low, high, '%')})"


def detectable(found: ErrorRates) -> str:
    if found.least_detectable is None:
        return "none below twice the time"
    return units.format_share(found.least_detectable)


def subtitle(report: GateReport) -> str:
    """What was compared, on what, how long it took."""
    against = "itself" if report.against_itself else report.head.label
    device = report.environment.device.name
    return (
        f"{report.base.label} against {against}, of {report.suite}, on {device}, "
        f"{report.pairs} live pairs in all, {report.seconds:.0f} s"
    )


def rule(report: GateReport) -> str:
    """How the verdicts come about, in a sentence."""
    targets = sorted({row.target for row in report.rows}) or [0.0]
    shown = " to ".join(dict.fromkeys(units.format_share(target) for target in (targets[0], targets[-1])))
    return (
        f"Stopped is a slowdown of {shown} or more, and what else got worse by more than its own target. "
        "Exact signed-rank tests on pairs of fresh processes that took "
        f"turns, fresh ones for what is suspicious; any false verdict in the whole family has a chance of at most "
        f"{units.format_share(report.alpha)}, a false regression of a tenth of it."
    )
