"""Bundles on nodes that die, hang, fill up, differ or come late: all is measured once, each case on one machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from attnlab.bench import discover
from attnlab.bench.cluster import orders
from attnlab.bench.cluster.dispatch import ALONE_S, STARTING_S, Dispatcher
from attnlab.bench.cluster.fleet import Node
from attnlab.bench.cluster.orders import Settings
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import ClusterError, ClusterLost, StoreError
from attnlab.bench.measuring.bundles import Bundle, bundles
from attnlab.bench.measuring.steps import Step
from attnlab.bench.store.machine import Machine
from attnlab.bench.store.records import BenchRecord, Measurement
from tests.helpers.fake_fleet import FakeFleet, FakeJob, ends, machine, node, works

A, B, C = node("a"), node("b"), node("c")
SETTINGS = Settings("auto", {}, 0, "cold", 10.0, None, (), "code")
LOST = (orders.LOST, "the node died")


@pytest.fixture(scope="module")
def registry(helpers: Path, plugins_forgotten_by_module: None) -> Registry:
    return discover((str(helpers / "toy_operator.py"),))


@dataclass
class Heard:
    """What is stored and told."""

    stored: list[Measurement] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    full_after: int = 99

    def machine(self, machine: Machine) -> None:
        self.machines.append(machine.key)

    def begin(self, step: Step) -> None: ...

    def phase(self, step: Step, phase: str) -> None: ...

    def measured(self, step: Step, measurement: Measurement) -> None:
        if len(self.stored) == self.full_after:
            raise StoreError("no space left on device")
        self.stored.append(measurement)

    def lost(self, bundle: Bundle, node: Node, why: str, attempt: int) -> None:
        self.told.append(f"{bundle.name} on {node.host}, {attempt}: {why}")

    def given_up(self, step: Step, why: str, machine: str | None) -> None:
        self.told.append(f"{step.implementation} {step.case.id} given up, {machine}: {why}")

    @property
    def places(self) -> dict[str, set[str]]:
        """The machines of each case, by the last that was stored of each implementation."""
        last = {m.key: m for m in self.stored}
        found: dict[str, set[str]] = {}
        for m in last.values():
            found.setdefault(m.case_id, set()).add((m.machine or "").split("/")[0])
        return found


@dataclass
class Ran:
    fleet: FakeFleet
    heard: Heard
    left_out: dict[str, str]
    dispatcher: Dispatcher[FakeJob]


Run = Callable[..., Ran]


@pytest.fixture
def run(registry: Registry) -> Run:
    def run(fleet: FakeFleet, cases: int = 4, wanted: str = "auto", held: tuple[Measurement, ...] = (), full: int = 99):
        benches = [BenchRecord("toy", ("plus", "times"), None, tuple(f"N{n}" for n in range(1, cases + 1)))]
        found, heard, left_out = bundles(benches, registry), Heard(full_after=full), {}
        dispatcher = Dispatcher(fleet, SETTINGS, left_out.__setitem__, wanted, clock=lambda: fleet.now)
        dispatcher.held |= {m.key: m for m in held}
        ran = Ran(fleet, heard, left_out, dispatcher)
        run.last = ran  # type: ignore[attr-defined]
        dispatcher.describe(found)
        dispatcher.run(found, heard)
        assert fleet.running == [], "every agent is ended"
        assert {m.key for m in heard.stored} | {m.key for m in held} == {s.key for b in found for s in b.steps}
        return ran

    return run


def test_each_bundle_is_measured_once_on_one_machine(run: Run) -> None:
    ran = run(FakeFleet({A: works, B: works, C: works}), cases=5)
    assert len(ran.heard.stored) == 10, "nothing twice"
    assert {len(hosts) for hosts in ran.heard.places.values()} == {1}
    assert set().union(*ran.heard.places.values()) == {"host-a", "host-b", "host-c"}
    assert ran.fleet.bundles[:3] == [("host-a", "N1"), ("host-b", "N2"), ("host-c", "N3")], "the first first"
    assert ran.left_out == {}
    assert ran.heard.told == []


def test_what_a_dead_node_began_is_measured_from_its_beginning_elsewhere(run: Run) -> None:
    fleet = FakeFleet({A: ends(1, LOST), B: works})
    fleet.meanwhile = lambda f: f.scripts.pop(A, None) if any(j.node == B and j.order.held for j in f.started) else None
    ran = run(fleet, cases=2)
    assert ran.heard.told == ["toy N1 on host-a, 1: the node died"]
    assert ran.heard.places == {"N1": {"host-b"}, "N2": {"host-b"}}
    assert [m.machine for m in ran.heard.stored if m.key[1:] == ("plus", "N1")] == [
        f"host-a/{A.name}",
        f"host-b/{B.name}",
    ], "the later one stands"
    assert len(ran.heard.stored) == 5, "one of them again"


def test_a_process_that_died_goes_on_with_the_same_machine(run: Run) -> None:
    lives = iter([ends(1, LOST), works])

    def script(order, on):
        return (works if order.like is None else next(lives))(order, on)

    ran = run(FakeFleet({A: script}), cases=1)
    assert [(m.implementation, m.machine) for m in ran.heard.stored] == [
        ("plus", f"host-a/{A.name}"),
        ("times", f"host-a/{A.name}"),
    ], "what it measured stands"


def test_a_node_that_hangs_is_left_out(run: Run) -> None:
    ran = run(FakeFleet({A: ends(1), B: works}), cases=3)
    (why,) = ran.left_out.values()
    assert why.startswith("it hangs, or others have its cores or GPUs: nothing was heard of it for ")
    assert ran.fleet.now > STARTING_S
    assert [host for host, _ in ran.fleet.bundles].count("host-a") == 1
    assert ran.heard.places == {"N1": {"host-b"}, "N2": {"host-b"}, "N3": {"host-b"}}


def test_a_node_whose_disk_is_full_is_left_out(run: Run) -> None:
    ran = run(FakeFleet({A: ends(1, (orders.UNFIT, "its disk is full: 0 B are free in /tmp")), B: works}))
    assert ran.left_out == {f"host-a ({A.name})": "its disk is full: 0 B are free in /tmp"}
    assert {host for hosts in ran.heard.places.values() for host in hosts} == {"host-b"}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"packages": {"torch": "2.12"}}, "packages, torch 2.13 and 2.12"),
        ({"driver": "570"}, "driver None and 570"),
    ],
)
def test_the_nodes_that_differ_from_the_most_are_left_out(run: Run, other: dict[str, str], told: str) -> None:
    fleet = FakeFleet({A: works, B: works, C: works})
    fleet.machines[A] = machine(A, **other)
    ran = run(fleet)
    assert ran.left_out == {f"host-a ({A.name})": f"it is not like the others: {told}"}
    assert "host-a" not in set().union(*ran.heard.places.values())


def test_kinds_of_device_are_kept_apart(run: Run) -> None:
    one, two = node("g", gpus=1), node("h", gpus=1)
    fleet = FakeFleet({one: works, two: works, A: works})
    fleet.machines = {one: machine(one, power_limit_w=700.0), two: machine(two, power_limit_w=500.0)}
    with pytest.raises(ClusterError) as error:
        run(fleet)
    assert "has 2 kinds of device" in str(error.value)
    assert f"'NVIDIA H200 at 700 W' (host-g ({one.name})); 'NVIDIA H200 at 500 W' (host-h ({two.name}))" in str(
        error.value
    )
    with pytest.raises(
        ClusterError, match="no node has a device of kind 'A100'; the cluster has: 'NVIDIA H200 at 700 W'"
    ):
        run(fleet, wanted="A100")
    ran = run(fleet, wanted="h200 at 500 w")
    assert set().union(*ran.heard.places.values()) == {"host-h"}
    assert ran.left_out == {f"host-g ({one.name})": "it is not like the others: another kind"}
    only_cpu = run(FakeFleet({A: works, one: works}), wanted="cpu")
    assert {job.gpus for job in only_cpu.fleet.started} == {0}


def test_each_bundle_has_a_gpu_of_its_own(run: Run) -> None:
    big = node("g", gpus=3)
    fleet, most = FakeFleet({big: works}), []
    fleet.meanwhile = lambda f: most.append(sum(job.gpus for job in f.running))
    run(fleet, cases=5)
    assert max(most) == 3
    assert {job.gpus for job in fleet.started} == {1}


def test_a_bundle_that_ends_every_node_is_given_up(run: Run) -> None:
    def poisoned(order, on):
        deadly = order.like is not None and order.steps[0].case_id == "N2"
        return (ends(0, LOST) if deadly else works)(order, on)

    with pytest.raises(AssertionError):  # of the fixture: N2 was not stored
        run(FakeFleet({A: poisoned, B: poisoned}))
    heard = run.last.heard  # type: ignore[attr-defined]
    assert [line for line in heard.told if "given up" not in line] == [
        "toy N2 on host-b, 1: the node died",
        "toy N2 on host-a, 2: the node died",
        "toy N2 on host-b, 3: the node died",
    ]
    assert heard.told[-1] == (
        "times N2 given up, None: lost 3 times with the node or process that measured it, at last: the node died"
    )
    assert {m.case_id for m in heard.stored} == {"N1", "N3", "N4"}


def test_a_node_that_comes_late_is_asked_first(run: Run) -> None:
    fleet = FakeFleet({A: works})

    def meanwhile(f: FakeFleet) -> None:
        if f.now > 8:
            f.scripts |= {B: works, C: works}
            f.machines[C] = machine(C, threads=9)

    fleet.meanwhile = meanwhile
    ran = run(fleet, cases=9)
    assert set().union(*ran.heard.places.values()) == {"host-a", "host-b"}
    assert ran.left_out == {f"host-c ({C.name})": "it is not like the others: threads 2 and 9"}


def test_where_all_nodes_are_gone_it_ends_after_a_while(run: Run) -> None:
    fleet = FakeFleet({A: ends(1, LOST)})
    fleet.meanwhile = lambda f: f.scripts.clear() if any(job.order.like for job in f.started) else None
    with pytest.raises(ClusterLost, match=r"no node of kind 'processor, 2 threads' is left.*4 bundles not measured"):
        run(fleet)
    assert ALONE_S < fleet.now < 2 * ALONE_S
    assert fleet.running == []


def test_no_node_at_all(run: Run) -> None:
    with pytest.raises(ClusterError, match="no node of the cluster can measure: none has cores"):
        run(FakeFleet({}))
    with pytest.raises(ClusterError, match="no node of the cluster can measure: none has a GPU"):
        run(FakeFleet({A: works}), wanted="cuda")
    with pytest.raises(ClusterError, match="no node of the cluster can measure: see above"):
        run(FakeFleet({A: lambda order, on: iter([[(orders.UNFIT, "it cannot begin")]])}))
    assert run.last.left_out == {f"host-a ({A.name})": "it cannot begin"}  # type: ignore[attr-defined]


def test_what_is_held_goes_along(run: Run) -> None:
    done = run(FakeFleet({A: works}), cases=1).heard.stored
    ran = run(FakeFleet({A: works}), cases=1, held=(done[0],))
    assert [m.key for m in ran.heard.stored] == [done[1].key]


def test_where_nothing_can_be_stored_all_agents_end(run: Run) -> None:
    with pytest.raises(StoreError):
        run(FakeFleet({A: works, B: works}), full=2)
    assert run.last.fleet.running == []  # type: ignore[attr-defined]
