"""What the host says of a stretch of time, from the files of the kernel and from files made up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnlab.bench.machine import host
from attnlab.bench.machine.host import HostReader

STATISTICS = """cpu  {user} 5 20 9000 3 1 2 {steal} 0 0
cpu0 {user} 5 20 9000 3 1 2 {steal} 0 0
intr 12345 0 0
ctxt 99
processes 7
procs_running {running}
procs_blocked 0
"""


def told(folder: Path, user: int, steal: int, running: int) -> None:
    (folder / "stat").write_text(STATISTICS.format(user=user, steal=steal, running=running))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kernel with one thread of ours, a core at 2.4 GHz and 100 ticks a second."""
    (tmp_path / "task/77").mkdir(parents=True)
    (tmp_path / "task/77/schedstat").write_text("5000 1000 3\n")
    (tmp_path / "own").write_text(f"77 (a (name) b) R {' '.join(str(n) for n in range(1, 36))} 6 0 0\n")
    (tmp_path / "freq6").write_text("2400000\n")
    (tmp_path / "freq0").write_text("1000000\n")
    told(tmp_path, user=100, steal=4, running=1)
    for name, path in {"STATISTICS": "stat", "OWN_THREADS": "task", "OWN_PLACE": "own", "FREQUENCY": "freq{}"}.items():
        monkeypatch.setattr(host, name, str(tmp_path / path))
    monkeypatch.setattr(host, "TICK_NS", 1e7)
    host._tells_frequency.cache_clear()
    yield tmp_path
    host._tells_frequency.cache_clear()


def test_what_the_kernel_counts_is_the_difference(files: Path) -> None:
    reader = HostReader()
    told(files, user=140, steal=7, running=3)
    (files / "task/77/schedstat").write_text("9000 251000 5\n")
    (files / "task/78").mkdir()
    (files / "task/78/schedstat").write_text("100 50000 1\n")
    state = reader.read()
    assert (state.waited_ns, state.busy_ns, state.stolen_ns) == (300_000.0, 4e8, 3e7)
    assert (state.runnable, state.frequency_mhz) == (3, 2400.0)


def test_a_thread_that_ended_takes_no_waiting_back(files: Path) -> None:
    reader = HostReader()
    (files / "task/77/schedstat").write_text("1 1 1\n")
    assert reader.read().waited_ns == 0.0


@pytest.mark.parametrize(("schedstat", "missing"), [("0 0 0\n", "waited_ns"), ("", "waited_ns")])
def test_a_kernel_that_counts_no_waiting_gives_none(files: Path, schedstat: str, missing: str) -> None:
    (files / "task/77/schedstat").write_text(schedstat)
    assert getattr(HostReader().read(), missing) is None


def test_other_systems_give_what_they_have(files: Path) -> None:
    for name in ("stat", "own", "freq0"):
        (files / name).unlink()
    (files / "task/77/schedstat").unlink()
    state = HostReader().read()
    assert (state.waited_ns, state.busy_ns, state.stolen_ns, state.runnable, state.frequency_mhz) == (None,) * 5
    assert state.elapsed_ns > 0


def test_ones_own_processor_time() -> None:
    reader = HostReader()
    until = time.process_time() + 0.02
    while time.process_time() < until:
        pass
    state = reader.read()
    assert state.cpu_ns >= 0.99 * 2e7
    assert state.elapsed_ns > 0
    assert host.host_state_over(0.01).elapsed_ns >= 1e7
