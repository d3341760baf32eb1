"""A gate's rows in plain words, for every format alike."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.gate.records import Achieved, GateReport, GateRow, GroupRow, Ratio, Standing
from attnlab.bench.stats.verdict import Verdict

ORDER = (Verdict.SLOWER, Verdict.INCOMPARABLE, Verdict.INCONCLUSIVE, Verdict.FASTER, Verdict.SAME, None)


def ordered(report: GateReport) -> list[GateRow]:
    """Rows with what needs attention first."""
    return sorted(report.rows, key=lambda row: (not row.closed, ORDER.index(row.verdict), row.key))


def verdict(row: GateRow | GroupRow) -> str:
    if isinstance(row, GateRow) and row.standing is not Standing.COMPARED:
        return str(row.standing.value)
    return str(row.verdict.value) if row.verdict else units.MISSING


def change(ratio: Ratio | None) -> str:
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
    said = [text for text in (row.reason, row.uncovered) if text]
    if row.allowed_by is not None:
        said.append(f"allowed by {row.allowed_by}")
    if row.confirmation is not None and row.verdict is Verdict.SLOWER:
        said.append(f"confirmed on fresh processes: {change(row.confirmation)}")
    elif row.confirmation is not None:
        said.append(f"slower at first, not confirmed on fresh processes: {change(row.confirmation)}")
    if row.moved is not None:
        before, after = units.format_time(row.moved.base_ns), units.format_time(row.moved.head_ns)
        said.append(f"what moved: {row.moved.name}, {before} → {after}")
    if row.unexplained is not None:
        said.append(row.unexplained)
    if row.reconfigured:
        said.append(f"configuration changed: {row.base_configuration or 'none'} → {row.head_configuration or 'none'}")
    return "; ".join([*said, *row.flags])


def group_name(group: GroupRow) -> str:
    return f"{group.name}, all cases (geometric mean)"


def scatter(found: Achieved) -> str:
    """`1.50 % (1.10 to 1.90 %)`."""
    low, high = 100 * found.scatter_low, 100 * found.scatter_high
    return f"{units.format_share(found.scatter)} ({units.format_interval(low, high, '%')})"


def detectable(found: Achieved) -> str:
    if found.least_detectable is None:
        return "none below twice the time"
    return units.format_share(found.least_detectable)


def subtitle(report: GateReport) -> str:
    """What was compared, on what, how long it took."""
    against = "itself" if report.against_itself else report.head.label
    device = report.environment.device.name
    return (
        f"{report.base.label} against {against}, suite {report.suite}, on {device}, "
        f"{report.pairs} live pairs in all, {report.seconds:.0f} s"
    )


def rule(report: GateReport) -> str:
    """How the verdicts come about, in a sentence."""
    targets = sorted({row.target for row in report.rows}) or [0.0]
    shown = " to ".join(dict.fromkeys(units.format_share(target) for target in (targets[0], targets[-1])))
    return (
        f"Stopped is a slowdown of {shown} or more. Exact signed-rank tests on pairs of fresh processes that took "
        f"turns; any false verdict in the whole family has a chance of at most {units.format_share(report.alpha)} "
        "before a failure is confirmed on fresh processes."
    )
