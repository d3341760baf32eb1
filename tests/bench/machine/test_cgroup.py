"""Limits and kills of a control group, of both versions, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from attnlab.bench.machine import cgroup
from attnlab.bench.machine.cgroup import ControlGroup, free_memory_bytes, own_group

NOWHERE = Path("/nowhere")


def group(root: Path, path: str, files: dict[str, str]) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def membership(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "membership"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "some\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_processor_time_is_told_in_cores(tmp_path: Path, files: dict[str, str], cores: float) -> None:
    outer = tmp_path / "cpu"
    inner = outer / "job"
    inner.mkdir(parents=True)
    for name, text in files.items():
        (inner / name).write_text(text)
    (outer / "cpu.max").write_text("400000 100000\n")
    line = membership(tmp_path, "4:cpu,cpuacct:/job\n5:memory:/other\n")
    assert own_group(line, tmp_path, "cpu").cores() == (4.0 if cores is None else cores), "the tightest"


def test_version_two_the_tightest_limit_counts(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    group(
        root, "user", {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 5\ninactive_file 50\n"}
    )
    group(root, "user/job", {"memory.max": "max\n", "memory.current": "600\n", "memory.events": "oom 3\noom_kill 2\n"})
    found = own_group(membership(tmp_path, "0::/user/job\n"), root)
    assert found.folders == (root / "user/job", root / "user", root)
    assert found.memory_left_bytes() == 1000 - 700 + 50
    assert found.kernel_kills() == 2


def test_version_one(tmp_path: Path) -> None:
    root = tmp_path / "fs"
    job = {
        "memory.limit_in_bytes": "5000",
        "memory.usage_in_bytes": "4000",
        "memory.stat": "total_inactive_file 10",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
    }
    group(root, "memory/job", job)
    group(root, "memory", {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "1"})
    found = own_group(membership(tmp_path, "5:cpu,cpuacct:/other\n4:memory:/job\n0::/\n"), root)
    assert found.memory_left_bytes() == 1010
    assert found.kernel_kills() == 7


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    group(tmp_path / "fs", "job", {"memory.max": "100", "memory.current": "150"})
    assert own_group(membership(tmp_path, "0::/job"), tmp_path / "fs").memory_left_bytes() == 0


def test_without_limits_there_is_none(tmp_path: Path) -> None:
    group(tmp_path / "fs", "job", {"memory.max": "max", "memory.current": "150"})
    assert own_group(membership(tmp_path, "0::/job"), tmp_path / "fs").memory_left_bytes() is None


def test_where_the_group_does_not_count_the_machine_does(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgfault 12\noom_kill 4\n")
    assert ControlGroup((), vmstat).kernel_kills() == 4
    assert ControlGroup((), NOWHERE).kernel_kills() == 0
    assert own_group(NOWHERE, NOWHERE).memory_left_bytes() is None


@pytest.mark.parametrize(("left", "expected"), [(None, 10**12), (5, 5), (10**13, 10**12)])
def test_free_memory_is_the_lesser_of_machine_and_group(
    monkeypatch: pytest.MonkeyPatch, left: int | None, expected: int
) -> None:
    class Fixed(ControlGroup):
        def memory_left_bytes(self) -> int | None:
            return left

    memory = psutil.virtual_memory()._replace(available=10**12)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(cgroup, "own_group", lambda: Fixed(()))
    assert free_memory_bytes() == expected


def test_this_machine() -> None:
    assert free_memory_bytes() > 0
    assert own_group().kernel_kills() >= 0
