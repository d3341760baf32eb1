"""Hands bundles out to nodes until all are measured; what a lost node had is measured again on another of its kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol

from attnlab.bench.cluster import orders
from attnlab.bench.cluster.fleet import Answer, Fleet, J, Node
from attnlab.bench.cluster.kinds import Chosen, choose, unlike
from attnlab.bench.cluster.orders import Described, Order, Settings, StepOrder, order_of, read_measurement
from attnlab.bench.errors import ClusterError, ClusterLost
from attnlab.bench.measuring.bundles import Bundle
from attnlab.bench.measuring.steps import Step
from attnlab.bench.store.codec import decode
from attnlab.bench.store.likeness import kind_of
from attnlab.bench.store.machine import Machine
from attnlab.bench.store.records import Measurement
from attnlab.bench.text import count, one_line

ATTEMPTS = 3  # of a bundle, each on another agent
LOOK_S = 1.0  # how long is waited for answers at once
NODES_S = 5.0  # how often is asked which nodes there are
ALONE_S = 120.0  # for a node to come, where none is left
DESCRIBE_S = 300.0  # for nodes to say what they are: ceilings are measured once on each
STARTING_S = 240.0  # beyond the time limit of a case: processes start, and oracles are worked out
REST_S = 20.0  # of a node with which something was lost: it may be gone, and nobody knows yet
SAID = 300  # characters of a reason


class Listener(Protocol):
    """Who is told of a run on a cluster as it goes."""

    def machine(self, machine: Machine) -> None:
        """A machine is about to measure, for the first time."""
        ...

    def begin(self, step: Step) -> None: ...

    def phase(self, step: Step, phase: str) -> None: ...

    def measured(self, step: Step, measurement: Measurement) -> None:
        """To be stored before anything else is."""
        ...

    def lost(self, bundle: Bundle, node: Node, why: str, attempt: int) -> None:
        """A bundle is to be measured again, or no more after so many attempts."""
        ...

    def given_up(self, step: Step, why: str, machine: str | None) -> None:
        """A step of a bundle that was lost with every attempt; machine: on which others of the bundle were measured."""
        ...


@dataclass
class _Task:
    bundle: Bundle
    attempts: int = 0
    machine: str | None = None  # that measured of it last


@dataclass
class _Running(Generic[J]):
    job: J
    task: _Task | None  # None: it only says what it is
    heard_s: float


@dataclass
class Dispatcher(Generic[J]):
    """The bundles of a run, and the nodes that measure them.

    left_out: told of a node that does not measure, and why. wanted: as `kinds.choose`. held: what is known of the
    bundles already, and comes to be known. clock: seconds, of which only differences count.
    """

    fleet: Fleet[J]
    settings: Settings
    left_out: Callable[[str, str], None]
    wanted: str = "auto"
    held: dict[tuple[str, str, str], Measurement] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _running: list[_Running[J]] = field(default_factory=list)
    _made: tuple[Step, ...] = ()
    _known: dict[str, str] = field(default_factory=dict)  # by id of a node: "", or why it does not measure
    _looked_s: float = -NODES_S
    _nodes: tuple[Node, ...] = ()
    _resting: dict[str, float] = field(default_factory=dict)  # until when, by id of a node

    def describe(self, bundles: Sequence[Bundle]) -> Chosen:
        """Ask all nodes what they are, and choose those that measure; raises ClusterError where none can."""
        self._made = tuple({(s.operator, s.implementation): s for b in bundles for s in b.steps}.values())
        gpus = any(node.gpus for node in self._alive())
        kind = self.wanted if self.wanted in ("cpu", "cuda") else "cuda" if gpus else "cpu"
        self.settings = replace(self.settings, device=kind)
        for node in filter(self._fits, self._nodes):
            self._ask(node)
        found: list[tuple[Node, Described]] = []
        begun = self.clock()
        while self._running:
            for running, answers in self._heard():
                found += [(running.job.node, d) for d in self._descriptions(running, answers)]
            for running in [r for r in self._running if self.clock() - begun > DESCRIBE_S]:
                self._end(running)
                self._leave_out(running.job.node, f"it did not say within {DESCRIBE_S:g} s what it is")
        if not found:
            none = f"none has {'a GPU' if kind == 'cuda' else 'cores'}"
            raise ClusterError(f"no node of the cluster can measure: {'see above' if self._known else none}")
        chosen = choose(found, self.wanted)
        for node, _ in found:
            if node in chosen.nodes:
                self._known[node.id] = ""
            else:
                self._leave_out(node, f"it is not like the others: {chosen.left_out.get(str(node), 'another kind')}")
        self._like = chosen.like
        return chosen

    def run(self, bundles: Iterable[Bundle], listener: Listener) -> None:
        """Measure all, the first first. Raises ClusterLost where no node is left, and none comes for too long."""
        self._listener = listener
        waiting = [_Task(bundle) for bundle in bundles]
        alone_s: float | None = None
        try:
            while waiting or any(running.task for running in self._running):
                self._look_for_nodes()
                self._hand_out(waiting)
                for running, answers in self._heard():
                    waiting += self._answered(running, answers)
                waiting += self._silent()
                if any(running.task for running in self._running):
                    alone_s = None
                elif waiting and not self._running:
                    alone_s = alone_s if alone_s is not None else self.clock()
                    if self.clock() - alone_s > ALONE_S:
                        raise ClusterLost(
                            f"no node of kind {self.kind!r} is left, and none came within {ALONE_S:g} s; "
                            f"{count(len(waiting), 'bundle')} not measured"
                        )
        finally:
            self.close()

    @property
    def kind(self) -> str:
        """What the kind of device is called that measures."""
        return kind_of(self._like.machine)

    def close(self) -> None:
        """End all agents."""
        for running in list(self._running):
            self._end(running)

    def _alive(self) -> tuple[Node, ...]:
        self._nodes, self._looked_s = tuple(self.fleet.nodes()), self.clock()
        return self._nodes

    def _fits(self, node: Node) -> bool:
        """Whether a node has what the settings ask for."""
        return (node.gpus if self.settings.device == "cuda" else node.cpus) > 0

    def _look_for_nodes(self) -> None:
        """Ask those that came what they are."""
        if self.clock() - self._looked_s < NODES_S:
            return
        asked = {running.job.node.id for running in self._running}
        for node in self._alive():
            if node.id not in self._known and node.id not in asked and self._fits(node):
                self._ask(node)

    def _hand_out(self, waiting: list[_Task]) -> None:
        for node in self._nodes:
            while waiting and self._known.get(node.id) == "" and self._resting.get(node.id, 0.0) <= self.clock():
                task = next((task for task in waiting if self._gpus(task.bundle) <= self._free(node)), None)
                if task is None:
                    break
                waiting.remove(task)
                task.attempts += 1
                held = list(self.held.values())
                order = order_of(self.settings, node.name, task.bundle, held, self._like.machine)
                self._begin(node, order, task)

    def _gpus(self, bundle: Bundle) -> int:
        """GPUs that a bundle takes: one, or as many as its operators have ranks; of a node's cores always all."""
        if self.settings.device != "cuda":
            return 1
        wanted = max(int(getattr(step.case, "world_size", 1)) for step in bundle.steps)
        return min(wanted, max((node.gpus for node in self._nodes), default=1))

    def _free(self, node: Node) -> int:
        own = [running for running in self._running if running.job.node.id == node.id]
        if self.settings.device != "cuda":
            return 0 if own else 1
        return node.gpus - sum(self._gpus(running.task.bundle) if running.task else 1 for running in own)

    def _ask(self, node: Node) -> None:
        made = tuple(StepOrder(s.operator, s.implementation, s.case.id, s.rounds, s.table) for s in self._made)
        self._begin(node, Order(self.settings, node.name, made), None)

    def _begin(self, node: Node, order: Order, task: _Task | None) -> None:
        gpus = 0 if self.settings.device != "cuda" else 1 if task is None else self._gpus(task.bundle)
        self._running.append(_Running(self.fleet.start(node, order.text(), gpus), task, self.clock()))

    def _heard(self) -> Iterator[tuple[_Running[J], list[Answer]]]:
        """What agents say now."""
        by_job = {id(running.job): running for running in self._running}
        for job, answers in self.fleet.wait([running.job for running in self._running], LOOK_S):
            running = by_job[id(job)]
            running.heard_s = self.clock()
            yield running, answers

    def _silent(self) -> list[_Task]:
        """What agents were at that say nothing for too long: a node that hangs."""
        limit_s = STARTING_S + 2 * self.settings.time_limit_s
        found: list[_Task] = []
        for running in [r for r in self._running if self.clock() - r.heard_s > limit_s]:
            why = f"it hangs, or others have its cores or GPUs: nothing was heard of it for {limit_s:g} s"
            self._leave_out(running.job.node, why)
            found += self._lost(running, why)
        return found

    def _end(self, running: _Running[J]) -> None:
        self.fleet.stop(running.job)
        self._running.remove(running)

    def _leave_out(self, node: Node, why: str) -> None:
        self._known[node.id] = why
        self.left_out(str(node), one_line(why, SAID))

    def _descriptions(self, running: _Running[J], answers: Sequence[Answer]) -> list[Described]:
        """What an agent that was only asked says of its node; it ends with that."""
        found: list[Described] = []
        for kind, value in answers:
            if kind == orders.MACHINE:
                found.append(decode(Described, value))
            elif kind in (orders.UNFIT, orders.LOST):
                self._leave_out(running.job.node, str(value))
            if kind in (orders.DONE, orders.UNFIT, orders.LOST):
                self._end(running)
        return found

    def _answered(self, running: _Running[J], answers: Sequence[Answer]) -> list[_Task]:
        """Act upon what an agent says; the bundles that have to be measured again."""
        if running.task is None:
            for described in self._descriptions(running, answers):
                told = unlike(self._like, described)
                if told:
                    self._leave_out(running.job.node, f"it is not like the others: {'; '.join(told)}")
                else:
                    self._known[running.job.node.id] = ""
            return []
        steps = {step.key: step for step in running.task.bundle.steps}
        for kind, value in answers:
            if kind == orders.MACHINE:
                self._listener.machine(decode(Described, value).machine)
            elif kind == orders.BEGIN:
                self._listener.begin(steps[_key(value)])
            elif kind == orders.PHASE:
                self._listener.phase(steps[_key(value)], str(value[3]))
            elif kind == orders.MEASURED:
                self._store(read_measurement(value), running.task)
            elif kind == orders.DONE:
                self._end(running)
            elif kind == orders.UNFIT:
                self._leave_out(running.job.node, str(value))
                return self._lost(running, str(value))
            elif kind == orders.LOST:
                return self._lost(running, str(value))
        return []

    def _store(self, measurement: Measurement, task: _Task) -> None:
        for step in task.bundle.steps:
            if step.key == measurement.key:
                self._listener.measured(step, measurement)
                self.held[measurement.key] = measurement
                task.machine = measurement.machine

    def _lost(self, running: _Running[J], why: str) -> list[_Task]:
        """End an agent whose bundle was not finished: again with another, or given up after so many."""
        self._end(running)
        task = running.task
        if task is None:
            return []
        self._resting[running.job.node.id] = self.clock() + REST_S
        self._looked_s = -NODES_S
        self._listener.lost(task.bundle, running.job.node, one_line(why, SAID), task.attempts)
        if task.attempts < ATTEMPTS:
            return [task]
        for step in task.bundle.steps:
            held = self.held.get(step.key)
            if held is None or held.machine != task.machine:  # a pair never spans two machines
                reason = f"lost {ATTEMPTS} times with the node or process that measured it, at last: {why}"
                self._listener.given_up(step, one_line(reason, SAID), task.machine)
        return []


def _key(value: Any) -> tuple[str, str, str]:
    return str(value[0]), str(value[1]), str(value[2])
