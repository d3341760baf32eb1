"""`attnlab run --on ray`: bundles go to the nodes of a cluster, and what they measure comes into one run here."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, field, replace

from attnlab.bench.cli import _options
from attnlab.bench.cli._progress import Bar, Lines, make_progress
from attnlab.bench.cli._resume import Remembering, is_tried_again, open_run
from attnlab.bench.cluster.dispatch import ATTEMPTS, Dispatcher
from attnlab.bench.cluster.fleet import Node
from attnlab.bench.cluster.kinds import Chosen
from attnlab.bench.cluster.on_ray import RayJob, connected
from attnlab.bench.cluster.orders import Described, Settings
from attnlab.bench.cluster.shipping import packed, variables
from attnlab.bench.contract.own_code import own_hash
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import ClusterLost
from attnlab.bench.measuring.bundles import Bundle, bundles
from attnlab.bench.measuring.outcomes import blank_measurement
from attnlab.bench.measuring.sharding import bundle_seconds, remaining
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.suite import make_effort
from attnlab.bench.store.machine import Machine, better
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.store.run_folder import RunWriter
from attnlab.bench.text import count

NOBODY = ""  # no machine has this key


def settings_of(
    options: argparse.Namespace, draft: RunRecord, plugins: tuple[str, ...], memory: int | None
) -> Settings:
    """How nodes are to measure; the device is known when they have said what they are."""
    return Settings(
        device="auto",
        effort=dict(draft.effort),
        seed=draft.drawn_from,
        cache=draft.cache,
        time_limit_s=options.time_limit,
        memory_bytes=memory,
        plugins=plugins,
        code=own_hash(),
    )


def at_home(draft: RunRecord, chosen: Described) -> RunRecord:
    """The record of a run on nodes like that one; the code is what this machine shipped."""
    environment, own = chosen.machine.environment, draft.environment
    return replace(
        draft,
        environment=replace(environment, revision=own.revision, dirty=own.dirty),
        ceilings=chosen.machine.ceilings,
        machines={chosen.machine.key: chosen.machine},
    )


@dataclass
class OnNodes:
    """Stores what nodes measure, and tells how it goes."""

    writer: RunWriter
    run: RunRecord
    remembering: Remembering
    before: dict[tuple[str, str, str], Measurement]
    held: dict[tuple[str, str, str], Measurement]
    progress: Lines | Bar
    registry: Registry
    ended: set[tuple[str, str, str]] = field(default_factory=set)
    again: list[str] = field(default_factory=list)

    def machine(self, machine: Machine) -> None:
        if machine.key not in self.run.machines:
            machines = self.run.machines | {machine.key: machine}
            self.run = replace(self.run, machines=machines, ceilings=better(self.run.ceilings, machine.ceilings))
            self.writer.rewrite(self.run)

    def begin(self, step: Step) -> None:
        if step.key not in self.ended:
            self.progress.begin(step)

    def phase(self, step: Step, phase: str) -> None:
        if step.key not in self.ended:
            self.progress.phase(step, phase)

    def measured(self, step: Step, measurement: Measurement) -> None:
        self.remembering.append(measurement)
        if step.key not in self.ended:
            self.ended.add(step.key)
            self.progress.end(step, measurement)

    def lost(self, bundle: Bundle, node: Node, why: str, attempt: int) -> None:
        self.before |= {key: self.held[key] for key in bundle.keys if key in self.held}
        self.again.append(bundle.name)
        what = "given up" if attempt >= ATTEMPTS else f"measured again ({attempt + 1} of {ATTEMPTS})"
        _options.tell(f"{bundle.name} is {what}: it was lost on {node}: {why}")

    def given_up(self, step: Step, why: str, machine: str | None) -> None:
        operator = self.registry.operators.get(step.operator)
        made = self.registry.implementations(step.operator).get(step.implementation)
        self.measured(step, replace(blank_measurement(operator, step.case, made).fail(why), machine=machine))


@dataclass(frozen=True)
class Measured:
    """What came of a run on a cluster: its folder, and how many were measured now and before."""

    writer: RunWriter
    now: int
    before: int


def measure_on(options: argparse.Namespace, draft: RunRecord, registry: Registry, memory_bytes: int | None) -> Measured:
    """Measure a run's benches on the cluster that `--on` names; raises ClusterError where it cannot, or is lost."""
    cargo = packed(options.plugin, draft.benches, registry)
    every = bundles(draft.benches, registry)
    with connected(options.on, cargo, variables(), options.device) as fleet:
        settings = settings_of(options, draft, cargo.plugins, memory_bytes)
        wanted = "auto" if fleet.resource else options.device
        dispatcher = Dispatcher(fleet, settings, _tell_left_out, wanted)
        try:
            chosen = dispatcher.describe(every)
            return _measure(options, at_home(draft, chosen.like), registry, dispatcher, chosen)
        finally:
            dispatcher.close()


def _tell_left_out(node: str, why: str) -> None:
    _options.tell(f"node {node} is left out: {why}")


def _measure(
    options: argparse.Namespace, draft: RunRecord, registry: Registry, dispatcher: Dispatcher[RayJob], chosen: Chosen
) -> Measured:
    writer, run, stored = open_run(options, draft, registry)
    every = bundles(run.benches, registry)
    kept = [m for m in stored if not is_tried_again(m, options)]
    steps, _ = remaining(every, kept, NOBODY, int(make_effort(run.effort).turns))
    wanted = {step.key for step in steps}
    seconds = dict(zip(every, bundle_seconds(every, registry, run.effort, dispatcher.settings.device), strict=True))
    left = sorted((b for b in every if wanted & {*b.keys}), key=lambda bundle: -seconds[bundle])
    if not options.json:
        names = ", ".join(map(str, chosen.nodes))
        _options.tell(
            f"{run.suite}: {count(len(steps), 'measurement')} in {count(len(left), 'bundle')}, on "
            f"{count(len(chosen.nodes), 'node')} of kind {dispatcher.kind!r}: {names}"
        )
    before = {m.key: m for m in stored if m.key in wanted}
    dispatcher.held |= {m.key: m for m in kept}
    try:
        with make_progress(len(steps), options.json) as progress:
            on_nodes = OnNodes(writer, run, Remembering(writer, before), before, dispatcher.held, progress, registry)
            dispatcher.run(left, on_nodes)
        if on_nodes.again:
            _options.tell(f"begun again: {', '.join(on_nodes.again)}")
    except (KeyboardInterrupt, ClusterLost) as error:
        how = f"go on with: {run.command} --resume {shlex.quote(str(writer.folder))}"
        if isinstance(error, ClusterLost):
            raise ClusterLost(f"{error}; what was measured is kept; {how}") from error
        print(f"\nattnlab: {how}", file=sys.stderr)
        raise
    finally:
        writer.close()
    now = len(on_nodes.ended)
    return Measured(writer, now, sum(len(bundle.steps) for bundle in every) - now)
