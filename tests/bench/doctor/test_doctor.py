"""The doctor: each finding has a figure, and a remedy where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from attnlab.bench import doctor
from attnlab.bench.contract import needs
from attnlab.bench.doctor import machine
from attnlab.bench.machine.ceilings import Again
from attnlab.bench.machine.clocks import cuda_clocks
from attnlab.bench.machine.clocks.host import HostTimer
from attnlab.bench.store.machine import Ceilings, Device, Environment, Load

HEALTHY = Environment(
    device=Device("cpu", "processor"),
    processor="processor",
    cores=4,
    affinity=(0, 1, 2, 3),
    threads=4,
    memory_bytes=1 << 34,
    system="Linux",
    python="3.11",
    packages={},
    governor="performance",
    load_average=0.1,
    variables={},
    revision=None,
    dirty=None,
)
CEILINGS = Ceilings("processor", 4, 1.25e10, {"float32": 2.5e11}, None, 0.0)
SPREAD = "spread of a repeated matrix product (10th to 90th percentile)"
EMPTY, KNOWN = "an empty call by clock {}", "a call of known length by clock {}"
FLUSH, BUSY = "reading half the L2, emptied before by reads, by writes, and not", "cores busy with other work now"
QUIET = SimpleNamespace(idle=99.0, iowait=0.5, steal=0.0)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has all that is needed, and nothing else to do."""
    monkeypatch.setattr(needs, "compiler_reason", lambda: None)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: QUIET)
    monkeypatch.setattr(machine, "BOOST_FILES", {})


class Host:
    """A processor whose time passes in its work, and by 50 ns with each look at the timer.

    tick_ns: the timer's step; off: what the clock reads over what passed.
    """

    name = "wall"

    def __init__(self, tick_ns: int = 50, off: float = 1.0, work_ns: tuple[float, ...] = (1e7,)) -> None:
        self.tick_ns, self.off, self.work_ns = tick_ns, off, work_ns
        self.passed_ns, self.done = 0, 0

    def now(self) -> int:
        self.passed_ns += self.tick_ns
        return self.passed_ns

    def work(self) -> None:
        self.passed_ns += int(self.work_ns[self.done % len(self.work_ns)])
        self.done += 1

    def start(self, calls: Any, bytes_a_call: int, plan: Any = None) -> HostTimer:
        return HostTimer(self.name, lambda: int(self.off * self.now()), calls)

    def patient(self, **changes: Any) -> doctor.Patient:
        environment = replace(HEALTHY, **changes)
        return doctor.Patient(environment, CEILINGS, (self,), self.work, now_ns=self.now)


def findings(patient: doctor.Patient | None = None) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine(patient or Host().patient())}


def faults(found: dict[str, doctor.Finding]) -> list[str]:
    return [finding.name for finding in found.values() if not finding.good]


def test_a_healthy_machine_has_no_remedies() -> None:
    found = findings()
    assert faults(found) == []
    assert found["device"].value == "processor"
    assert found[BUSY].value == "0.500 %"
    assert found["timer resolution"].value == "50.0 ns"
    assert found[EMPTY.format("wall")].value == "50.0 ns"
    assert found[KNOWN.format("wall")].value == "1.00 ms where it takes 1.00 ms"
    assert found[SPREAD].value == "0 %"
    assert found["load average"].value == "0.10 on 4 cores"
    assert found["threads"].value == "4 on 4 usable cores"
    assert found["copy bandwidth, measured"].value == "12.5 GB/s"
    assert found["matrix rate float32, measured"].value == "250 GFLOP/s"


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        ({"load_average": 3.0}, "load average", "stop what else is running"),
        ({"threads": 8}, "threads", "set OMP_NUM_THREADS=4"),
        ({"governor": "powersave"}, "CPU frequency governor", "choose 'performance'"),
    ],
)
def test_what_is_wrong_has_a_remedy(change: dict[str, Any], name: str, remedy: str) -> None:
    found = findings(Host().patient(**change))
    assert remedy in (found[name].remedy or "")
    assert faults(found) == [name]


def test_what_the_machine_does_not_tell_is_no_fault() -> None:
    found = findings(Host().patient(load_average=None, governor=None, affinity=()))
    assert found["load average"].value == "–"
    assert "CPU frequency governor" not in found
    assert faults(found) == []


def test_a_restless_machine_is_told() -> None:
    found = findings(Host(work_ns=(1e7, 1.01e7, 1.02e7, 2e7, 1.03e7)).patient())
    assert faults(found) == [SPREAD]
    assert "other work disturbs this machine" in (found[SPREAD].remedy or "")


def test_a_clock_that_is_off_is_told() -> None:
    found = findings(Host(off=1.05).patient())
    assert faults(found) == [KNOWN.format("wall")]
    assert found[KNOWN.format("wall")].value == "1.05 ms where it takes 1.00 ms"


def test_a_coarse_timer_is_told() -> None:
    found = findings(Host(tick_ns=10_000).patient())
    assert "time only calls of a millisecond or more" in (found["timer resolution"].remedy or "")


def test_busy_cores_and_stolen_time_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = SimpleNamespace(idle=40.0, iowait=0.0, steal=20.0)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda interval: busy)
    found = findings()
    assert faults(found) == [BUSY, "cores' time taken by the host"]
    assert (found[BUSY].value, found["cores' time taken by the host"].value) == ("40.0 %", "20.0 %")


@pytest.mark.parametrize(
    ("text", "told"), [("1\n", "on: the more cores work, the lower each one's clock"), ("0", "off")]
)
def test_boost_is_told(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boost").write_text(text)
    monkeypatch.setattr(machine, "BOOST_FILES", {tmp_path / "none": "0", tmp_path / "boost": "1"})
    assert findings()["CPU frequency boost"].value == told


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "compiler_reason", lambda: "needs a C++ compiler")
    found = findings()["C++ compiler and Python's headers"]
    assert (found.value, found.remedy) == ("missing", "needs a C++ compiler")


def test_every_probe_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """By rank; the first looks at who else is working, before the doctor itself is."""
    assert min(doctor.INSPECTIONS, key=lambda inspection: inspection.rank).name == "others_now"
    later, first = (
        doctor.Inspection(rank, lambda patient, name=name: iter([doctor.Finding(name, patient.ceilings.device)]))  # type: ignore[misc]
        for rank, name in ((2, "gate"), (1, "load"))
    )
    monkeypatch.setattr(doctor, "INSPECTIONS", (later, first))
    assert [(f.name, f.value) for f in doctor.examine(Host().patient())] == [
        ("device", "processor"),
        ("load", "processor"),
        ("gate", "processor"),
    ]


# A GPU


@pytest.fixture
def on_gpu(fake_gpu: ModuleType) -> Callable[..., dict[str, doctor.Finding]]:
    """Examines a machine with a simulated GPU, which has the faults that are given."""

    def examined(work: Callable[[Any], Callable[[], object]] | None = None, **gpu_faults: Any) -> Any:
        locked = {"throttle": lambda at_ns: ("application clocks",)}
        gpu = fake_gpu.FakeGpu(**(locked | gpu_faults))
        call = work(gpu) if work else gpu.kernel("product", 1e7)
        environment = replace(HEALTHY, device=Device("cuda", gpu.name))
        now = Host(tick_ns=1)  # the host's time is the simulated one
        now.now = lambda: gpu.host_ns + next(ticks)  # type: ignore[method-assign]
        ticks = iter(range(1, 1_000_000))
        return findings(doctor.Patient(environment, CEILINGS, cuda_clocks(gpu), call, gpu, now.now))

    return examined


def test_a_healthy_gpu_has_no_remedies(on_gpu: Any) -> None:
    found = on_gpu()
    assert faults(found) == []
    assert found["clocks that work here"].value.startswith("cuda_graph, cuda_events")
    assert found[EMPTY.format("cuda_graph")].value == "0 ns"
    assert found[KNOWN.format("cuda_graph")].value == "1.00 ms where it takes 1.00 ms"
    assert found["null span of clock cuda_graph"].value == "3.50 µs, subtracted from its samples"
    assert found["null span of clock cuda_events"].value == "1.50 µs, subtracted from its samples"
    assert found[FLUSH].value == "6.00 µs, 11.0 µs and 1.00 µs", "what was written is written back in the span"
    assert found["SM clock at work"].value == "2000 of 2000 MHz, held by a setting"
    assert found["GPU clocks under load"].value == "steady"
    assert found["other processes on the GPU"].value == "0"


@pytest.mark.parametrize(
    ("fault", "name", "remedy"),
    [
        ({"flush_works": False}, FLUSH, "the L2 is not emptied between calls"),
        ({"others": (17, 18)}, "other processes on the GPU", "wait for their end, or end them (process 17, 18)"),
        ({"quiet": "the package is missing"}, "GPU telemetry", "throttling would go unseen: the package is missing"),
        ({"throttle": lambda at_ns: ()}, "SM clock at work", "lock it (nvidia-smi --lock-gpu-clocks=1960,"),
        ({"refuses_capture": "no graphs"}, "clocks that work here", "no times by clock cuda_graph: no graphs"),
    ],
)
def test_what_is_wrong_with_a_gpu_has_a_remedy(on_gpu: Any, fault: dict[str, Any], name: str, remedy: str) -> None:
    found = on_gpu(**fault)
    assert faults(found) == [name]
    assert remedy in (found[name].remedy or "")


def test_a_gpu_that_slows_with_heat_is_told(on_gpu: Any) -> None:
    hot = {"throttle": lambda at_ns: ("application clocks", "thermal, by the hardware")}
    found = on_gpu(**hot)
    assert faults(found) == ["GPU clocks under load"]
    assert "held down by heat in 5 of 5 bursts" in (found["GPU clocks under load"].remedy or "")


def test_a_call_of_no_length_ends_the_probes_too(on_gpu: Any) -> None:
    assert faults(on_gpu(lambda gpu: gpu.kernel("nothing", 1.0))) == []


def test_processes_that_nobody_tells_of_are_no_fault(on_gpu: Any) -> None:
    found = on_gpu(others=None)
    assert found["other processes on the GPU"].value == "not known"
    assert faults(found) == []


# The command


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor with two findings, one of them in brackets, and nothing measured."""
    told = [doctor.Finding("device", "[red]processor[/x]"), doctor.Finding("load", "9", "stop [that]")]
    monkeypatch.setattr(doctor, "measured_now", lambda environment: Again(CEILINGS, CEILINGS))
    monkeypatch.setattr(doctor, "examine", lambda patient: iter(told))


def test_the_command_shows_findings_as_they_are(examined: None, capsys: pytest.CaptureFixture[str]) -> None:
    from attnlab.bench.cli import main

    assert main(["doctor", "--device", "cpu"]) == 1, "it cannot be trusted"
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok") and "[red]processor[/x]" in line for line in lines)
    assert any(line.startswith("!") and "stop [that]" in line for line in lines)


def test_the_command_gives_json(examined: None, capsys: pytest.CaptureFixture[str]) -> None:
    from attnlab.bench.cli import main

    assert main(["doctor", "--device", "cpu", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told[1] == {"name": "load", "value": "9", "remedy": "stop [that]", "advice": False}


def test_advice_costs_no_trust(examined: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from attnlab.bench.cli import main

    told = [doctor.Finding("device", "processor"), doctor.Finding("governor", "powersave", "choose another", True)]
    monkeypatch.setattr(doctor, "examine", lambda patient: iter(told))
    assert main(["doctor", "--device", "cpu"]) == 0


def test_ceilings_measured_under_load_are_told_and_so_are_those_that_are_kept() -> None:
    low = replace(CEILINGS, bandwidth=5e9, load=Load(1.5, None, 300.0, 4, "other processes kept 1.5 cores busy"))
    found = findings(replace(Host().patient(), ceilings=low, kept=CEILINGS))
    assert faults(found) == ["ceilings measured now"]
    told = found["ceilings measured now"]
    assert (told.value, told.trusted) == ("too low: other processes kept 1.5 cores busy", False)
    assert (told.remedy or "").startswith("not stored, those of 1970-01-01 are kept")
    assert found["copy bandwidth, measured"].value == "5.00 GB/s, 12.5 GB/s before"
    assert found["matrix rate float32, measured"].value == "250 GFLOP/s"


@pytest.mark.gpu
def test_this_gpu_is_examined() -> None:
    from attnlab.bench.machine.environment import describe_environment

    found = findings(doctor.patient_here(describe_environment("cuda"), Again(CEILINGS, CEILINGS)))
    assert found[FLUSH].good
    assert found[KNOWN.format("cuda_graph")].good


def test_this_machine_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is found, it is found without an error; with fewer and shorter live pairs than a user waits for."""
    from attnlab.bench.machine.environment import describe_environment

    monkeypatch.setattr(doctor.gate, "PAIRS", 3)
    monkeypatch.setattr(doctor.gate, "BURSTS", 2)
    found = findings(doctor.patient_here(describe_environment("cpu"), Again(CEILINGS, CEILINGS)))
    assert {"timer resolution", EMPTY.format("wall"), KNOWN.format("wall"), SPREAD} <= set(found)
