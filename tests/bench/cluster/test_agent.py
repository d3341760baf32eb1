"""What runs on a node, without a scheduler: a real agent measures a bundle from what was shipped to it."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import discover
from attnlab.bench.cluster import agent, host, orders
from attnlab.bench.cluster.host import Host, unpacked
from attnlab.bench.cluster.orders import Described, Order, Settings, order_of
from attnlab.bench.cluster.shipping import Cargo, packed, variables
from attnlab.bench.contract.own_code import own_hash
from attnlab.bench.contract.registry import Registry
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.measuring.bundles import bundles
from attnlab.bench.measuring.fingerprint import fingerprint
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.machine import Machine
from attnlab.bench.store.records import BenchRecord, Measurement
from tests.helpers.fake_fleet import CEILINGS, ENVIRONMENT

BENCHES = (BenchRecord("toy", ("plus",), None, ("N4",)),)
EFFORT = {"sampling_limit_s": 0.05, "warmup_limit_s": 0.05, "least_s": 0.02, "least_bursts": 3, "turns": 0, "quick": 1}
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def registry(helpers: Path, plugins_forgotten_by_module: None) -> Registry:
    return discover((str(helpers / "toy_operator.py"),))


@pytest.fixture(scope="module")
def cargo(registry: Registry, helpers: Path) -> Cargo:
    return packed([str(helpers / "toy_operator.py")], BENCHES, registry)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, ceilings_cache: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(ceilings_cache))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return ceilings_cache


def settings(cargo: Cargo, code: str | None = None) -> Settings:
    return Settings("cpu", EFFORT, 0, "cold", 60.0, None, cargo.plugins, code or own_hash())


def answers(cargo: Cargo, order: Order) -> Iterator[tuple[str, Any]]:
    """All that an agent says to an order."""
    one = Host()
    one.begin(cargo.archive, cargo.digest, cargo.paths, variables(), order.text())
    try:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for kind, value in one.poll(1.0):
                yield kind, value
                if kind in (orders.DONE, orders.UNFIT, orders.LOST):
                    return
        raise AssertionError("it says nothing more")
    finally:
        one.stop()


@pytest.mark.slow
def test_a_bundle_is_measured_by_what_was_shipped(cargo: Cargo, registry: Registry, home: Path) -> None:
    """One real measurement: the machine is told first, then each event."""
    (bundle,) = bundles(BENCHES, registry)
    environment = replace(describe_environment("cpu"), threads=1)
    like = Machine("elsewhere", environment, CEILINGS)
    said = list(answers(cargo, order_of(settings(cargo), "n1", bundle, [], like)))
    kinds = [kind for kind, _ in said]
    assert kinds[0] == orders.MACHINE, said
    assert kinds[1] == orders.BEGIN
    assert kinds[-1] == orders.DONE, said[-1]
    assert said[1][1] == ["toy", "plus", "N4"]
    (m,) = (decode(Measurement, value) for kind, value in said if kind == orders.MEASURED)
    assert m.outcome.value == "passed", m.reason
    assert m.machine == decode(Described, said[0][1]).machine.key
    assert m.median_ns
    here = fingerprint(registry.implementations("toy").get("plus"))
    assert m.fingerprint == here, "the code there is the code here"


def test_what_is_not_as_the_order_says_measures_nothing(cargo: Cargo, home: Path) -> None:
    (last,) = list(answers(cargo, Order(settings(cargo, "0" * 16), "n1")))
    assert last == (orders.UNFIT, f"its code of attnlab has hash {own_hash()}, and the run's is {'0' * 16}")


def test_an_unlike_machine_and_a_full_disk_are_unfit(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    sent: list[Any] = []

    class Said:
        def send(self, kind: str, value: Any) -> None:
            sent.append((kind, value))

    unlike = Machine("elsewhere", replace(ENVIRONMENT, threads=7), CEILINGS)
    order = Order(replace(settings(Cargo(b"", "", (), ()))), "n1", (), (), encode(unlike))
    with pytest.raises(agent.Unfit, match="it is not like the others: device processor and "):
        agent.carry_out(order, Said())  # type: ignore[arg-type]
    assert [kind for kind, _ in sent] == [orders.MACHINE]
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(agent.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(agent.Unfit, match=r"its disk is full: 1\.00 MiB are free in "):
        agent.carry_out(order, Said())  # type: ignore[arg-type]
    with pytest.raises(agent.Unfit, match="its disk is full"):  # a worker could hand nothing over
        agent.Telling(Said(), "m").append(Measurement("toy", "plus", {"n": 1}, "N1", agent.Outcome.FAILED))  # type: ignore[arg-type]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Agents that run a line of Python."""
    return lambda code: monkeypatch.setattr(host, "AGENT", f"import os, sys, json, time; {code}")


SAYS = "say = lambda text: os.write(int(sys.argv[1]), text.encode()); "
EMPTY = Cargo(b"", "", (), ())


def small(content: str = "a") -> Cargo:
    held = BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.txt", content)
    return Cargo(held.getvalue(), hashlib.sha256(held.getvalue()).hexdigest(), (".",), ())


def test_an_agent_that_dies_says_what_it_died_of(short, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    short(SAYS + "say('[\"begin\", 1]\\n[\"cut'); print('last words', flush=True); os.kill(os.getpid(), 9)")
    found = list(answers(small(), Order(settings(EMPTY), "n")))
    assert found == [("begin", 1), (orders.LOST, "its process was killed by signal 9; it said: last words")]


def test_an_agent_is_ended(short, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_THING", "1")
    short(SAYS + "say(json.dumps(['env', [n for n in os.environ if n[:3] in ('RAY', 'OMP')]]) + '\\n'); time.sleep(99)")
    one = Host()
    cargo = small()
    one.begin(cargo.archive, cargo.digest, cargo.paths, {"OMP_NUM_THREADS": None}, "{}")
    assert one.poll(20.0) == [("env", [])]
    assert one.poll(0.0) == []
    one.stop()
    assert one.poll(5.0)[0][0] == orders.LOST


def test_what_was_shipped_is_unpacked_once_and_held_against_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cargo = small()
    old = tmp_path / "attnlab" / "shipped" / "old"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    folder = unpacked(cargo.archive, cargo.digest)
    assert (folder / "a.txt").read_text() == "a"
    (folder / "a.txt").write_text("b")
    assert unpacked(cargo.archive, cargo.digest) == folder
    assert (folder / "a.txt").read_text() == "b", "it is left as it is"
    with pytest.raises(ValueError, match="what was shipped has SHA-256 "):
        unpacked(cargo.archive + b"x", cargo.digest)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    other = small("another")
    with pytest.raises(OSError, match="No space left"):
        unpacked(other.archive, other.digest)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing half unpacked is left"


def test_the_archive_has_our_code_and_the_plugins_and_is_the_same_each_time(
    cargo: Cargo, registry: Registry, helpers: Path
) -> None:
    names = zipfile.ZipFile(BytesIO(cargo.archive)).namelist()
    assert "attnlab/__init__.py" in names
    assert "attnlab/bench/cluster/agent.py" in names
    assert "attnlab/bench/suites/quick.toml" in names
    assert any(name.startswith("attnlab/impls/attention/") for name in names)
    assert f"plugins{helpers.resolve()}/toy_operator.py" in names
    assert not any("__pycache__" in name or "site-packages" in name for name in names)
    assert cargo.plugins == (f"{{shipped}}/plugins{helpers.resolve()}/toy_operator.py",)
    assert packed([str(helpers / "toy_operator.py")], BENCHES, registry) == cargo
    assert json.loads(json.dumps(cargo.paths))[0] == "."
