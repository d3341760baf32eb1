"""What a suite comes to on a cluster, in words and for machines (`attnlab run SUITE --plan --nodes N`)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from attnlab.bench import text_table, units
from attnlab.bench.cli._forecast import usable_cores
from attnlab.bench.contract.registry import Registry
from attnlab.bench.measuring.bundles import Bundle, bundles
from attnlab.bench.measuring.forecast.cluster import Cluster, NodeKind
from attnlab.bench.measuring.forecast.run_cost import run_cost
from attnlab.bench.measuring.forecast.simulation import ClusterForecast, Range, counts_upto, forecast_nodes
from attnlab.bench.measuring.forecast.step_costs import Terms
from attnlab.bench.measuring.suite import make_effort
from attnlab.bench.store.machine import UNKNOWN, Ceilings, Device
from attnlab.bench.store.records import RunRecord
from attnlab.bench.text import count

AS_FAST = 1.1  # times the time of all nodes
PLANNED_CORES = 8  # of a node that is not here


@dataclass(frozen=True)
class Plan:
    """The bundles of a run that something can be measured of, with their estimates, and what nodes make of them."""

    cluster: Cluster
    bundles: tuple[Bundle, ...]
    seconds: tuple[float, ...]
    rows: tuple[ClusterForecast, ...]

    def lines(self) -> Iterator[str]:
        """How long, how dear, what bounds it, and what was assumed."""
        last, one = self.rows[-1], self.rows[0]
        longest = max(range(len(self.seconds)), key=self.seconds.__getitem__)
        yield f"{count(len(self.bundles), 'bundle')}, {_hours(sum(self.seconds))} of one node; {_where(self.cluster)}"
        yield f"time on {count(last.nodes, 'node')}: {_span(last.seconds)}" + (
            f", {one.seconds.middle / last.seconds.middle:.3g} times as fast as on one" if last.nodes > 1 else ""
        )
        enough = next(row.nodes for row in self.rows if row.seconds.middle <= AS_FAST * last.seconds.middle)
        if enough < last.nodes:
            yield f"{count(enough, 'node')} would be as fast, within a tenth"
        yield from text_table.columns([_HEADING, *map(_row, self.rows)])
        yield (
            f"the longest bundle takes {_hours(self.seconds[longest])} ({self.bundles[longest].name}); no number of "
            "nodes is faster, for a case's implementations are measured on one machine"
        )
        yield f"assumed, of {last.draws} draws: {'; '.join(_assumptions(self.cluster))}"

    def record(self) -> dict[str, Any]:
        return {
            "bundles": len(self.bundles),
            "bundle_seconds": round(sum(self.seconds), 1),
            "longest_seconds": round(max(self.seconds), 1),
            "assumed": _finite(asdict(self.cluster)),
            "nodes": [asdict(row) for row in self.rows],
        }


_HEADING = ("nodes", "time", "95 %", "busy", "node hours", "begun again", "missing", "price")


def _row(row: ClusterForecast) -> tuple[str, ...]:
    return (
        str(row.nodes),
        _hours(row.seconds.middle),
        f"{_hours(row.seconds.low)} to {_hours(row.seconds.high)}",
        units.format_share(row.busy),
        units.three_digits(row.node_hours.middle),
        units.three_digits(row.again),
        units.three_digits(row.missing),
        units.MISSING if row.price is None else units.three_digits(row.price.middle),
    )


def plan_cluster(
    run: RunRecord, registry: Registry, cluster: Cluster, limit_s: float, done: Collection[tuple[str, str, str]] = ()
) -> Plan | None:
    """What a cluster makes of a run's bundles that are not `done`; None where nothing of them can be measured."""
    here = cluster.device is None
    device = run.environment.device if cluster.device is None else Device(cluster.device, UNKNOWN)
    ceilings = run.ceilings if here else Ceilings(UNKNOWN, None, math.nan, {}, None, 0.0)
    terms = Terms(device, ceilings, make_effort(run.effort), limit_s)
    cores = usable_cores(run.environment) if here else PLANNED_CORES
    known = set(done)
    found: list[tuple[Bundle, float]] = []
    for bundle in bundles(run.benches, registry):
        steps = [step for step in bundle.steps if step.key not in known]
        cost = run_cost(steps, registry, terms, cores, here=here)
        if cost.running:
            found.append((bundle, cost.seconds))
    if not found:
        return None
    seconds = tuple(s for _, s in found)
    rows = tuple(forecast_nodes(seconds, cluster.of(nodes)) for nodes in counts_upto(cluster.count))
    return Plan(cluster, tuple(bundle for bundle, _ in found), seconds, rows)


def _finite(held: Any) -> Any:
    """What JSON can say: what is endless is null."""
    if isinstance(held, dict):
        return {key: _finite(value) for key, value in held.items()}
    if isinstance(held, (list, tuple)):
        return [_finite(value) for value in held]
    return None if isinstance(held, float) and not math.isfinite(held) else held


def _where(cluster: Cluster) -> str:
    return "nodes as this machine" if cluster.device is None else f"nominal nodes of kind {cluster.device}"


def _assumptions(cluster: Cluster) -> Iterator[str]:
    yield f"a bundle takes its estimate within a factor of {math.exp(1.96 * cluster.spread):.2g} (95 %)"
    yield f"it is begun {count(cluster.attempts, 'time')} at most"
    for kind in cluster.nodes:
        of = f"{kind.name} ({kind.count}): " if len(cluster.nodes) > 1 else ""
        yield of + ", ".join(_of_kind(kind))


def _of_kind(kind: NodeKind) -> Iterator[str]:
    if kind.speed != 1:
        yield f"{kind.speed:g} times as fast"
    if kind.queue_s:
        yield f"waited for {_hours(kind.queue_s)} on average"
    yield f"ready after {_hours(kind.start_s)}"
    if kind.slow_share:
        yield f"{units.format_share(kind.slow_share)} take {kind.slow_factor:g} times as long"
    if math.isfinite(kind.hours_between_failures):
        yield f"each fails every {kind.hours_between_failures:,g} h, which is noticed after {_hours(kind.notice_s)}"
        again = f"replaced after {_hours(kind.repair_s)}" if math.isfinite(kind.repair_s) else "not replaced"
        yield again


def _hours(seconds: float) -> str:
    return units.format_duration(seconds) if seconds else "0 s"


def _span(found: Range) -> str:
    return f"about {_hours(found.middle)} (95 % of draws: {_hours(found.low)} to {_hours(found.high)})"
