"""The doctor: each finding has a figure, and a remedy where something is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from attnlab.bench import availability, clocks, doctor
from attnlab.bench.environment import Device, Environment
from attnlab.bench.roofline import Ceilings

HEALTHY = Environment(
    device=Device("cpu", "processor"), processor="processor", cores=4, affinity=(0, 1, 2, 3), threads=4,
    memory_bytes=1 << 34, system="Linux", python="3.11", packages={}, governor="performance",
    load_average=0.1, variables={}, revision=None, dirty=None,
)  # fmt: skip
CEILINGS = Ceilings("processor", 4, 1.25e10, {"float32": 2.5e11}, None, 0.0)
SPREAD = "spread of a repeated matrix product (10th to 90th percentile)"


@pytest.fixture
def times_ns(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> list[float]:
    """What the clock says, over and over; a machine that has all else that is needed."""
    times = [1e7]
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock(times),))
    monkeypatch.setattr(availability, "compiler_reason", lambda: None)
    return times


def findings(environment: Environment = HEALTHY) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine(environment, CEILINGS)}


def test_a_healthy_machine_has_no_remedies(times_ns: list[float]) -> None:
    found = findings()
    assert [f.name for f in found.values() if not f.good] == []
    assert found["device"].value == "processor"
    assert found["load average"].value == "0.10 on 4 cores"
    assert found["threads"].value == "4 on 4 usable cores"
    assert found["copy bandwidth, measured"].value == "12.5 GB/s"
    assert found["matrix rate float32, measured"].value == "250 GFLOP/s"
    assert found["an empty call by clock fake"].value == "10.0 ms"
    assert found[SPREAD].value == "0 %"


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        ({"load_average": 3.0}, "load average", "stop what else is running"),
        ({"threads": 8}, "threads", "set OMP_NUM_THREADS=4"),
        ({"governor": "powersave"}, "CPU frequency governor", "choose 'performance'"),
    ],
)
def test_what_is_wrong_has_a_remedy(times_ns: list[float], change: dict[str, Any], name: str, remedy: str) -> None:
    found = findings(replace(HEALTHY, **change))
    assert remedy in (found[name].remedy or "")
    assert [f.name for f in found.values() if not f.good] == [name]


def test_what_the_machine_does_not_tell_is_no_fault(times_ns: list[float]) -> None:
    found = findings(replace(HEALTHY, load_average=None, governor=None, affinity=()))
    assert found["load average"].value == "–"
    assert "CPU frequency governor" not in found
    assert all(f.good for f in found.values())


def test_a_restless_machine_is_told(times_ns: list[float]) -> None:
    times_ns[:] = [1e7, 1.01e7, 1.02e7, 2e7, 1.03e7]
    assert "other work disturbs this machine" in (findings()[SPREAD].remedy or "")


def test_a_missing_compiler_is_told(times_ns: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "compiler_reason", lambda: "needs a C++ compiler")
    found = findings()["C++ compiler and Python's headers"]
    assert (found.value, found.remedy) == ("missing", "needs a C++ compiler")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor with two findings, one of them in brackets, and nothing measured."""
    told = [doctor.Finding("device", "[red]processor[/x]"), doctor.Finding("load", "9", "stop [that]")]
    monkeypatch.setattr(doctor, "measured_now", lambda environment: CEILINGS)
    monkeypatch.setattr(doctor, "examine", lambda environment, ceilings: iter(told))


def test_the_command_shows_findings_as_they_are(examined: None, capsys: pytest.CaptureFixture[str]) -> None:
    from attnlab.bench.cli import main

    assert main(["doctor", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok") and "[red]processor[/x]" in line for line in lines)
    assert any(line.startswith("!") and "stop [that]" in line for line in lines)


def test_the_command_gives_json(examined: None, capsys: pytest.CaptureFixture[str]) -> None:
    from attnlab.bench.cli import main

    assert main(["doctor", "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told[1] == {"name": "load", "value": "9", "remedy": "stop [that]"}


@pytest.mark.gpu
def test_the_flush_of_this_gpu_works() -> None:
    assert doctor._flush().good
