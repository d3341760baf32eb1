"""Ray in the place of a fleet, as far as it needs no cluster: addresses that do not answer, and what Ray raises."""

from __future__ import annotations

import os
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.cluster import on_ray
from attnlab.bench.cluster.on_ray import connected
from attnlab.bench.cluster.shipping import Cargo
from attnlab.bench.errors import ClusterError, UsageError
from tests.helpers.fake_fleet import node

EMPTY = Cargo(b"", "", (), ())


def test_an_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_CLIENT_MODE", "0")  # which Ray sets when it is imported for the first time
    pytest.importorskip("ray")
    before = dict(os.environ)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"ray://127.0.0.1:{taken.getsockname()[1]}"
        begun = time.monotonic()
        with (
            pytest.raises(ClusterError, match=f"no Ray cluster answers at {address}: Connection refused; start one"),
            connected(address, EMPTY, {}),
        ):
            pass
    assert time.monotonic() - begun < on_ray.CONNECTS_S
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with (
        pytest.raises(UsageError, match=r"got the address 'nonsense' .*; expected HOST:PORT"),
        connected("ray", EMPTY, {}),
    ):
        pass
    monkeypatch.delenv("RAY_ADDRESS")
    assert dict(os.environ) == before


def test_what_listens_and_is_no_ray_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "CONNECTS_S", 0.1)
    ray = SimpleNamespace(init=lambda **_: time.sleep(1.0))
    with pytest.raises(ClusterError, match=r"what listens at h:1 does not answer as Ray does within 0\.1 s"):
        on_ray._connect(ray, {"address": "h:1"})

    def refuse(**_: object) -> None:
        raise ConnectionError("version mismatch\nmore lines")

    with pytest.raises(ClusterError, match=r"Ray does not connect to h:1: version mismatch$"):
        on_ray._connect(SimpleNamespace(init=refuse), {"address": "h:1"})


def test_what_ray_raises_is_told_of_the_node() -> None:
    """A task that raises cannot begin on its node; whatever else is raised is a loss."""

    class TaskError(Exception):
        cause = OSError(28, "No space left on device")

    def get(ref: Exception) -> Any:
        raise ref

    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayTaskError=TaskError), get=get, wait=lambda refs, **_: (refs, [])
    )
    fleet = on_ray.RayFleet(ray, EMPTY, {})
    jobs = [on_ray.RayJob(node("a"), None, ref) for ref in (TaskError(), RuntimeError("The actor died\nof it"))]
    assert [answers for _, answers in fleet.wait(jobs, 0.0)] == [
        [("unfit", "it cannot begin: OSError: [Errno 28] No space left on device")],
        [("lost", "Ray lost it: The actor died")],
    ]


def test_nodes_are_those_alive_with_what_is_asked_for() -> None:
    def one(number: int, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": str(number), "NodeManagerHostname": "h", "Alive": alive, "Resources": resources}

    known = [one(1, CPU=8.0, GPU=4.0, **{"accelerator_type:H100": 1.0}), one(2, CPU=4.0), one(3, False, CPU=4.0)]
    ray = SimpleNamespace(nodes=lambda: known)
    assert [(n.id, n.cpus, n.gpus) for n in on_ray.RayFleet(ray, EMPTY, {}).nodes()] == [("1", 8, 4), ("2", 4, 0)]
    assert on_ray._resource(ray, "H100") == "accelerator_type:H100"
    assert on_ray._resource(ray, "auto") is None
    assert on_ray._resource(ray, "GPU") is None
    assert [n.id for n in on_ray.RayFleet(ray, EMPTY, {}, "accelerator_type:H100").nodes()] == ["1"]
