"""A real Ray cluster of three nodes on this machine, one killed in the middle: nothing is lost, nothing is twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from attnlab.bench.cli import _on
from attnlab.bench.cluster import host, on_ray
from attnlab.bench.store.codec import encode
from attnlab.bench.store.run_folder import latest, read_run
from tests.helpers.fake_fleet import machine, node

MARK = "ATTNLAB_TEST_OF_RAY"
AGENT = """
import json, os, pathlib, sys, time
sys.path[:0] = json.loads(sys.argv[3])
from attnlab.bench.measuring.channel import Channel
channel = Channel.connect(int(sys.argv[1]), int(sys.argv[2]))
order, gate = channel.read(), pathlib.Path(os.environ["TEST_GATE"])
machine = json.loads(os.environ["TEST_MACHINE"]) | {"node": order["node"]}
key = machine["host"] + "/" + order["node"]
channel.send("machine", {"machine": machine, "prints": {}})
for number, step in enumerate(order["steps"] if order["like"] else ()):
    while number == 1 and (not gate.exists() or gate.read_text() in ("", key)):
        time.sleep(0.02)  # for ever on the node that is killed
    names = {name: step[name] for name in ("operator", "implementation", "case_id")}
    more = {"case": {"n": int(step["case_id"][1:])}, "outcome": "passed", "untimed": "made up", "machine": key}
    channel.send("measured", names | more)
channel.send("done", None)
"""
"""An agent that imports no torch: what is tried is the way there and back, and what Ray says of a node that dies."""


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All processes that are started inside are ended, and told where they are not by themselves."""
    before = {*os.environ}
    monkeypatch.setenv(MARK, value := f"{os.getpid()}-{time.monotonic_ns()}")
    for name, quiet in on_ray.QUIET.items():
        monkeypatch.setenv(name, quiet)
    yield
    for name in {*os.environ} - before:
        if name.startswith("RAY_") or name == on_ray.BREAKPOINT:
            del os.environ[name]
    left = [process for process in psutil.process_iter() if _has(process, value)]
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        process.kill()
    assert [process.name() for process in alive] == []


def _has(process: psutil.Process, value: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == value
    except (psutil.Error, OSError):
        return False


@pytest.mark.slow
def test_a_node_that_is_killed_loses_nothing_and_doubles_nothing(
    cli, helpers: Path, marked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(host, "AGENT", AGENT)
    monkeypatch.setenv("TEST_GATE", str(gate := tmp_path / "gate"))
    monkeypatch.setenv("TEST_MACHINE", json.dumps(encode(machine(node("x")))))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1, wait=False) for _ in range(2)]
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        stored = _on.OnNodes.measured
        killed: list[str] = []

        def measured(self: Any, step: Any, m: Any) -> None:
            stored(self, step, m)
            own = ray.get_runtime_context().get_node_id()  # without its raylet this process could not go on
            there = m.machine.rpartition("/")[2]
            lost = next((one for one in nodes if one.node_id.startswith(there) and one.node_id != own), None)
            if lost is not None and not killed:
                killed.append(m.machine)
                cluster.remove_node(lost, allow_graceful=False)
                gate.write_text(m.machine)

        monkeypatch.setattr(_on.OnNodes, "measured", measured)
        plugin = helpers / "toy_operator.py"
        ended = cli("run", "toy", "--plugin", plugin, "-a", "n=1,2,3", "--turns", "0", "--on", "ray")
    finally:
        cluster.shutdown()
    assert ended.code == 0, ended.err
    assert "toy: 6 measurements in 3 bundles, on 3 nodes of kind 'processor, 2 threads'" in ended.err
    assert " is measured again (2 of 3): it was lost on " in ended.err
    (folder,) = Path("results").iterdir()
    rows = read_run(folder).measurements
    last = latest(rows)
    wanted = {("toy", made, f"N{n}") for n in range(1, 4) for made in ("plus", "times")}
    assert {m.key for m in last} == wanted, "nothing lost"
    again = [m for m in last if m.flags]
    assert len(rows) == len(wanted) + len(again), "nothing twice, but what the killed node had begun"
    assert [m.flags for m in again] == [(f"measured again (before: on {killed[0]}, which did not finish its case)",)]
    by_case: dict[str, set[str | None]] = {}
    for m in last:
        by_case.setdefault(m.case_id, set()).add(m.machine)
    assert {len(machines) for machines in by_case.values()} == {1}, "no pair spans two machines"
    assert by_case[again[0].case_id] != {killed[0]}
