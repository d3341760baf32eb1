"""A cluster in one process: nodes that answer as agents do, and die, hang or differ where a test says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attnlab.bench.cluster import orders
from attnlab.bench.cluster.fleet import Answer, Node
from attnlab.bench.cluster.orders import Described, Order, read_order
from attnlab.bench.store.codec import encode
from attnlab.bench.store.machine import Ceilings, Device, Environment, Machine
from attnlab.bench.store.records import Measurement, Outcome

ENVIRONMENT = Environment(
    device=Device("cpu", "processor"),
    processor="processor",
    cores=2,
    affinity=(),
    threads=2,
    memory_bytes=1,
    system="",
    python="3.11",
    packages={"torch": "2.13"},
    governor=None,
    load_average=None,
    variables={},
    revision=None,
    dirty=None,
)
H200 = Device("cuda", "NVIDIA H200", (9, 0), 132, 1 << 37, driver="580")
CEILINGS = Ceilings("processor", 2, 1e10, {"float32": 1e11}, None, 0.0)
Script = Callable[[Order, Machine], Iterator[list[Answer]]]
"""What an agent says to an order, by what comes at once; it hangs where that ends without a last word."""


def node(name: str, gpus: int = 0, cpus: int = 2) -> Node:
    return Node(f"{name:0<8}", f"host-{name}", cpus, gpus)


def machine(of: Node, kind: str = "cuda", **fields: Any) -> Machine:
    """The machine of a node; fields are its own, those of its environment, or of its device."""
    environment = ENVIRONMENT if not of.gpus or kind == "cpu" else replace(ENVIRONMENT, device=H200)
    device = {name: fields.pop(name) for name in ("driver", "name") if name in fields}
    within = {name: fields.pop(name) for name in ("packages", "threads") if name in fields}
    environment = replace(environment, device=replace(environment.device, **device), **within)
    return Machine(of.host, environment, CEILINGS, of.name, **fields)


def measured(step: orders.StepOrder, on: Machine, **fields: Any) -> Answer:
    m = Measurement(
        step.operator, step.implementation, {"n": int(step.case_id[1:])}, step.case_id, Outcome.PASSED, machine=on.key
    )
    return orders.MEASURED, encode(replace(m, untimed="made up", **fields))


def said(order: Order, on: Machine) -> Answer:
    return orders.MACHINE, encode(Described(on, {}))


def works(order: Order, on: Machine) -> Iterator[list[Answer]]:
    """Measures what is not held of this machine, one step at a time."""
    yield [said(order, on)]
    held = {tuple(m[name] for name in ("implementation", "case_id")) for m in order.held if m["machine"] == on.key}
    for step in order.steps if order.like else ():
        if (step.implementation, step.case_id) not in held:
            yield [(orders.BEGIN, [step.operator, step.implementation, step.case_id]), measured(step, on)]
    yield [(orders.DONE, None)]


def ends(after: int, *last: Answer) -> Script:
    """Measures so many steps of each bundle, and then says that, or nothing any more."""

    def script(order: Order, on: Machine) -> Iterator[list[Answer]]:
        if order.like is None:
            yield from works(order, on)
            return
        yield [said(order, on)]
        yield from ([measured(step, on)] for step in order.steps[:after])
        if last:
            yield [*last]

    return script


@dataclass
class FakeJob:
    node: Node
    order: Order
    says: Iterator[list[Answer]]
    gpus: int


@dataclass
class FakeFleet:
    """Nodes by what they do; `now` goes on by what is waited for. steps: called with the time before each wait."""

    scripts: dict[Node, Script]
    machines: dict[Node, Machine] = field(default_factory=dict)
    now: float = 0.0
    started: list[FakeJob] = field(default_factory=list)
    running: list[FakeJob] = field(default_factory=list)
    meanwhile: Callable[[FakeFleet], None] = lambda fleet: None
    resource: str | None = None

    def nodes(self) -> list[Node]:
        return [*self.scripts]

    def start(self, node: Node, order: str, gpus: int) -> FakeJob:
        read = read_order(json.loads(order))
        says: Iterable[list[Answer]] = [[(orders.LOST, "the node died")]]
        if node in self.scripts:
            says = self.scripts[node](read, self.machines.get(node) or machine(node, read.settings.device))
        job = FakeJob(node, read, iter(says), gpus)
        self.started.append(job)
        self.running.append(job)
        return job

    def wait(self, jobs: Sequence[FakeJob], wait_s: float) -> list[tuple[FakeJob, list[Answer]]]:
        self.now += wait_s
        self.meanwhile(self)
        found = [(job, next(job.says, [])) for job in jobs]
        return [(job, json.loads(json.dumps(answers))) for job, answers in found if answers]

    def stop(self, job: FakeJob) -> None:
        self.running.remove(job)

    @property
    def bundles(self) -> list[tuple[str, str]]:
        """Which host was given which case, in order."""
        return [(job.node.host, job.order.steps[0].case_id) for job in self.started if job.order.like]
