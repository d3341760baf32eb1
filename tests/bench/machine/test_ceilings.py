"""The file that keeps ceilings: measured once, never lowered by a busy machine, measured again with age."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attnlab.bench.machine import ceilings, environment
from attnlab.bench.machine.ceilings import LASTS_S, load_or_measure, measure_again, measured_beside
from attnlab.bench.store.machine import Ceilings, Device, Load, better

DEVICE = Device("cpu", "A processor (x86)")
NOW_S = time.time()
GOOD = Ceilings(DEVICE.name, 2, 15.2e9, {"float32": 1e11}, None, NOW_S, read_bandwidth=20e9, cache_bandwidth=1e11)
LOADED = Load(1.0, 0.0, 200.0, 4, "other processes kept 1.0 cores busy")
LOW = replace(GOOD, bandwidth=7.6e9, rates={"float32": 4e10}, read_bandwidth=21e9, cache_bandwidth=None, load=LOADED)


class Machine:
    """A machine that measures what `rates` says next; `quiet` is what a look at it finds."""

    def __init__(self) -> None:
        self.rates: list[Ceilings] = []
        self.quiet, self.measured, self.looks = True, 0, 0

    def measure(self, device: Device) -> Ceilings:
        self.measured += 1
        return self.rates.pop(0) if self.rates else GOOD

    def look(self, device: Device) -> bool:
        self.looks += 1
        return self.quiet


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """An empty cache of the user's."""
    made = Machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ceilings, "measure", made.measure)
    monkeypatch.setattr(ceilings, "_quiet", made.look)
    return made


def cache_file() -> Path:
    return ceilings.cache_path(DEVICE, torch.get_num_threads())


def test_ceilings_are_measured_once_and_kept(machine: Machine) -> None:
    first, second = load_or_measure(DEVICE), load_or_measure(DEVICE)
    assert (machine.measured, machine.looks) == (1, 0)
    assert first == second == GOOD
    assert [path.name for path in cache_file().parent.iterdir()] == [cache_file().name]


def test_a_low_one_measured_under_load_is_measured_again_when_it_is_quiet(machine: Machine) -> None:
    """7.6 GB/s once, while something else ran, and for good; 15.2 GB/s later."""
    machine.rates, machine.quiet = [LOW, GOOD], False
    assert load_or_measure(DEVICE) == LOW, "there is no other"
    assert load_or_measure(DEVICE) == LOW
    assert machine.measured == 1, "while it is busy there is no better to be had"
    machine.quiet = True
    found = load_or_measure(DEVICE)
    assert (found.bandwidth, found.rates, found.disturbed) == (15.2e9, {"float32": 1e11}, None)
    assert load_or_measure(DEVICE) == found
    assert machine.measured == 2


def test_a_busy_machine_never_lowers_what_is_known(machine: Machine) -> None:
    machine.rates = [GOOD, LOW]
    load_or_measure(DEVICE)
    found = measure_again(DEVICE)
    assert (found.bandwidth, found.rates, found.cache_bandwidth) == (15.2e9, {"float32": 1e11}, 1e11)
    assert found.read_bandwidth == 21e9, "what was reached can be reached"
    assert found.disturbed is None, "what is kept was measured in quiet"
    assert load_or_measure(DEVICE) == found


def test_where_asked_nothing_measured_under_load_is_kept(machine: Machine) -> None:
    machine.rates = [LOW, GOOD, LOW]
    first = measured_beside(DEVICE, undisturbed=True)
    assert first.now == first.kept == LOW
    assert not cache_file().exists()
    load_or_measure(DEVICE)
    second = measured_beside(DEVICE, undisturbed=True)
    assert (second.now, second.kept) == (LOW, GOOD)
    assert load_or_measure(DEVICE) == GOOD


def test_with_age_they_are_measured_again_in_quiet_and_lower_ones_are_believed(machine: Machine) -> None:
    old = replace(GOOD, bandwidth=99e9, measured_at_s=NOW_S - 1.01 * LASTS_S)
    machine.rates, machine.quiet = [old], False
    load_or_measure(DEVICE)
    assert load_or_measure(DEVICE).bandwidth == 99e9
    assert machine.measured == 1
    machine.quiet = True
    assert load_or_measure(DEVICE) == GOOD
    assert load_or_measure(DEVICE) == GOOD
    assert machine.measured == 2


def test_a_busy_measurement_does_not_make_old_ones_new() -> None:
    old = replace(GOOD, measured_at_s=NOW_S - 2 * LASTS_S)
    found = better(old, LOW)
    assert found.measured_at_s == old.measured_at_s
    assert found.bandwidth == 15.2e9
    later = better(LOW, replace(LOW, bandwidth=9e9, measured_at_s=NOW_S + 5))
    assert (later.bandwidth, later.disturbed, later.measured_at_s) == (9e9, LOADED.disturbed, NOW_S + 5)


def test_a_clock_that_was_set_back_makes_them_old(machine: Machine) -> None:
    machine.rates = [replace(GOOD, measured_at_s=NOW_S + 2 * LASTS_S)]
    load_or_measure(DEVICE)
    load_or_measure(DEVICE)
    assert machine.measured == 2


def test_each_machine_device_and_number_of_threads_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def paths() -> set[str]:
        gpu = Device("cuda", "NVIDIA H200")
        return {ceilings.cache_path(device, threads).name for device in (DEVICE, gpu) for threads in (1, 2)}

    found = paths()
    assert len(found) == 4
    assert all("/" not in name and " " not in name for name in found)
    assert paths() == found
    monkeypatch.setattr(environment, "_affinity", lambda: (0, 1, 2))
    assert not paths() & found, "fewer cores are another machine"


DAMAGES: dict[str, Callable[[dict[str, object]], object]] = {
    "an older version": lambda good: good | {"cache_version": ceilings.CACHE_VERSION - 1},
    "no version": lambda good: {name: value for name, value in good.items() if name != "cache_version"},
    "a text": lambda good: good | {"bandwidth": "fast"},
    "nought": lambda good: good | {"bandwidth": 0.0},
    "no rate": lambda good: good | {"rates": {"float32": None}},
    "a rate below nought": lambda good: good | {"read_bandwidth": -1.0},
    "an unknown key": lambda good: good | {"colour": "red"},
    "a list": lambda good: [good],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_old_file_is_measured_again_and_replaced(machine: Machine, damage: str) -> None:
    load_or_measure(DEVICE)
    cache_file().write_text(json.dumps(DAMAGES[damage](json.loads(cache_file().read_text()))))
    assert load_or_measure(DEVICE) == GOOD
    assert load_or_measure(DEVICE) == GOOD
    assert machine.measured == 2, "the file is good again"


@pytest.mark.parametrize("content", ["", "{", "null", "\x00"])
def test_so_is_one_that_is_no_json(machine: Machine, content: str) -> None:
    load_or_measure(DEVICE)
    cache_file().write_text(content)
    assert load_or_measure(DEVICE) == GOOD
    assert machine.measured == 2


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_or_measure(DEVICE) == GOOD


def test_who_looks_at_a_busy_machine_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from attnlab.bench.store.records import HostState

    for busy_ns, quiet in ((1e7, True), (4e8, False), (None, True)):
        state = HostState(3e8, 0.0, 0, None, busy_ns)
        monkeypatch.setattr(ceilings, "host_state_over", lambda seconds, state=state: state)
        assert ceilings._quiet(DEVICE) is quiet


def test_a_gpu_that_others_compute_on_is_not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Device("cuda", "NVIDIA H200")
    for told, quiet in ((None, True), ("other processes computed on the GPU: 7", False)):
        monkeypatch.setattr(ceilings, "sharers", lambda kind, told=told: told)
        assert ceilings._quiet(gpu) is quiet
