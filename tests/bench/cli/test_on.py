"""`attnlab run --on` on a cluster in one process: one run here, resumable, whatever happens to nodes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.cluster import dispatch, orders
from attnlab.bench.cluster.orders import Order
from attnlab.bench.store.machine import Machine
from attnlab.bench.store.run_folder import RunWriter, StoredRun, latest, read_run
from tests.helpers.fake_fleet import FakeFleet, ends, machine, node, works

A, B = node("a"), node("b")
CASES = ("N1", "N2", "N3")


@pytest.fixture
def on(cli, helpers: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`attnlab run toy --on ray …` with that fleet in Ray's place."""

    def run(fleet: FakeFleet, *more: str | Path) -> Any:
        @contextmanager
        def connected(*_: object) -> Iterator[FakeFleet]:
            yield fleet

        monkeypatch.setattr("attnlab.bench.cli._on.connected", connected)
        for name, seconds in {"REST_S": 0.0, "ALONE_S": 0.1, "NODES_S": 0.0}.items():
            monkeypatch.setattr(dispatch, name, seconds)
        plugin = helpers / "toy_operator.py"
        return cli("run", "toy", "--plugin", plugin, "-a", "n=1,2,3", "--turns", "0", "--on", "ray", *more)

    return run


def stored(folder: Path = Path("results")) -> StoredRun:
    (found,) = folder.iterdir()
    return read_run(found)


def cut(order: Order, on: Machine) -> Iterator[Any]:
    """The user interrupts when it has measured one step."""
    yield from ends(1)(order, on)
    if order.like is not None:
        raise KeyboardInterrupt


def test_all_comes_into_one_run(on) -> None:
    ended = on(FakeFleet({A: works, B: works}))
    assert ended.code == 0, ended.err
    assert "toy: 6 measurements in 3 bundles, on 2 nodes of kind 'processor, 2 threads': host-a (a0000000)" in ended.err
    assert "[6/6] toy/" in ended.err
    run = stored()
    assert Counter(m.key for m in run.measurements) == {m.key: 1 for m in run.measurements}
    assert {m.key[1:] for m in run.measurements} == {(made, case) for made in ("plus", "times") for case in CASES}
    assert (
        {m.machine for m in run.measurements} == {*run.run.machines} == {f"host-{n.name[0]}/{n.name}" for n in (A, B)}
    )
    assert run.run.environment.processor == "processor", "the nodes'"
    assert run.run.environment.revision is not None or run.run.environment.dirty is None
    assert run.run.ceilings == machine(A).ceilings
    assert "6 measured in" in ended.out


def test_a_lost_node_costs_nothing_that_was_measured(on) -> None:
    lost = ends(1, (orders.LOST, "the node died"))

    def once(order: Order, on: Machine) -> Iterator[Any]:
        if order.like is not None:
            fleet.scripts.pop(A)
        yield from lost(order, on)

    fleet = FakeFleet({A: once, B: works})
    ended = on(fleet)
    assert ended.code == 0
    assert "toy N3 is measured again (2 of 3): it was lost on host-a (a0000000): the node died" in ended.err
    assert "begun again: toy N3" in ended.err
    last = latest(stored().measurements)
    assert {m.machine for m in last} == {f"host-b/{B.name}"}
    (again,) = (m for m in last if m.flags)
    assert again.key[1:] == ("plus", "N3"), "the longest is the first"
    assert again.flags == (f"measured again (before: on host-a/{A.name}, which did not finish its case)",)
    assert "6 measured in" in ended.out


def test_an_interrupted_run_goes_on(on) -> None:
    ended = on(FakeFleet({A: cut}))
    assert ended.code == 130
    folder = stored().path
    assert f"--turns 0 --on ray --resume {folder}" in ended.err
    assert len(stored().measurements) == 1
    fleet = FakeFleet({A: works, B: works})
    again = on(fleet, "--resume", folder)
    assert again.code == 0, again.err
    assert "5 measured in" in again.out, "the same machine goes on with what it began"
    assert "1 taken from before" in again.out
    rows = stored().measurements
    assert rows[0].machine == f"host-a/{A.name}"
    assert len(rows) == 6
    assert "0 measured in" in on(FakeFleet({A: works}), "--resume", folder).out


def test_another_kind_of_machine_does_not_go_on(on) -> None:
    assert on(FakeFleet({A: cut})).code == 130
    fleet = FakeFleet({B: works})
    fleet.machines[B] = machine(B, packages={"torch": "2.12"})
    ended = on(fleet, "--resume", stored().path)
    assert ended.code == 2
    assert "which is not alike: packages, torch 2.13 and 2.12" in ended.err
    assert len(stored().measurements) == 1


def test_what_every_node_dies_of_is_told_in_the_run(on) -> None:
    def deadly(order: Order, on: Machine) -> Iterator[Any]:
        poisoned = order.like is not None and order.steps[0].case_id == "N2"
        yield from (ends(1, (orders.LOST, "killed by signal 9")) if poisoned else works)(order, on)

    ended = on(FakeFleet({A: deadly}))
    assert ended.code == 1
    assert "toy N2 is given up: it was lost on host-a (a0000000): killed by signal 9" in ended.err
    by_case = {m.key[1:]: m for m in latest(stored().measurements)}
    assert len(by_case) == 6
    failed = by_case["times", "N2"]
    assert failed.outcome.value == "failed"
    assert failed.reason == "lost 3 times with the node or process that measured it, at last: killed by signal 9"
    assert by_case["plus", "N2"].outcome.value == "passed", "of the same machine"
    assert failed.machine == by_case["plus", "N2"].machine


def test_a_lost_cluster_says_how_to_go_on(on) -> None:
    fleet = FakeFleet({A: ends(1, (orders.LOST, "gone"))})
    fleet.meanwhile = lambda f: f.scripts.clear() if any(job.order.like for job in f.started) else None
    ended = on(fleet)
    assert ended.code == 1
    assert "what was measured is kept; go on with: attnlab run toy --plugin" in ended.err
    assert f"--resume {stored().path}" in ended.err


def test_a_full_disk_here_ends_the_run_and_its_agents(on, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, text: bytes) -> int:
            if b"N2" in text:
                raise OSError(28, "No space left on device")
            return self.file.write(text)

    create = RunWriter.create.__func__  # type: ignore[attr-defined]

    def created(cls: type[RunWriter], *arguments: Any) -> RunWriter:
        writer = create(cls, *arguments)
        writer._file = Full(writer._file)
        return writer

    monkeypatch.setattr(RunWriter, "create", classmethod(created))
    fleet = FakeFleet({A: works})
    ended = on(fleet)
    assert ended.code == 2
    assert "No space left on device; what was measured before is kept: make room, then go on with --resume" in ended.err
    assert fleet.running == []
    assert [m.case_id for m in stored().measurements] == ["N3", "N3"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--on", "slurm"],
            "got --on 'slurm'; expected ray (this machine, or RAY_ADDRESS), or ray://HOST:PORT; any",
        ),
        (["--on", "ray://"], "got --on 'ray://'; expected ray"),
        (["--on", "ray", "--shard", "1/2"], "got --on with --shard: a cluster is given the whole suite"),
        (["--on", "ray", "--plan"], "got --on with --plan: for what a cluster takes, plan with --nodes"),
        (["--on", "ray", "--keep-failures"], "got --on with --keep-failures: what failed lies on the nodes"),
    ],
)
def test_what_does_not_go_together_is_told(cli, arguments: list[str], told: str) -> None:
    ended = cli("run", "quick", *arguments)
    assert ended.code == 2
    assert told in ended.err
    assert not Path("results").exists()


def test_without_ray_it_says_what_to_install(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = cli("run", "rmsnorm", "--on", "ray")
    assert ended.code == 2
    assert "package ray is not installed; install attnlab with its extra 'ray'" in ended.err
