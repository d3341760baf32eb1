"""Ranks that torchrun started: others start processes for the first, and end with it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from attnlab.bench.contract.ranks import RankFailed
from attnlab.bench.errors import Unavailable, UsageError
from attnlab.bench.ranks import group, torchrun
from attnlab.bench.ranks.group import Group, Place
from attnlab.bench.ranks.torchrun import Launched, run_or_serve

from .test_group import HONEST, RANK

SERVE = "from attnlab.bench.ranks.torchrun import Launched, serve; serve(Launched.here())"


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What torchrun tells the first of two ranks."""
    told = {
        "TORCHELASTIC_RUN_ID": secrets.token_hex(8),
        "MASTER_PORT": "29500",
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told


@pytest.fixture
def other(variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The second rank."""
    process = subprocess.Popen([sys.executable, "-c", SERVE], env={**os.environ, **variables, "RANK": "1"})
    yield process
    process.kill()
    process.wait()


def test_the_second_rank_starts_its_process_and_a_dead_one_is_named_and_replaced(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "BOOT", f"{RANK}if rank == 1:\n    os._exit(7)\nelse:\n    time.sleep(3600)\n")
    made = Group(Place(2, "cpu"))
    parents = [psutil.Process(process.pid).ppid() for process in made._processes]
    assert parents == [os.getpid(), other.pid]
    with pytest.raises(RankFailed, match=r"^rank 1 of 2 ended with exit code 7 while in a call$"):
        made.ask("in a call", [None] * 2)
    monkeypatch.setattr(group, "BOOT", RANK + HONEST)
    again = Group(Place(2, "cpu"))
    assert [done.elapsed_ns for done in again.ask("in a call", [None] * 2)] == [1.0, 2.0]
    processes = [psutil.Process(process.pid) for process in again._processes]
    again.end()
    assert not psutil.wait_procs(processes, timeout=30)[1]


def test_the_others_end_with_the_first(other: subprocess.Popen[bytes]) -> None:
    launched = Launched.here()
    assert launched is not None
    assert run_or_serve(launched, lambda: 3) == 3
    assert other.wait(30) == 0


def test_a_case_of_another_number_of_ranks_is_unavailable(variables: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match=r"torchrun started 2 ranks, and the case has 4; give it --nproc-per-node 4"):
        Group(Place(4, "cpu"))


def test_ranks_on_several_machines_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"torchrun started 4 ranks, 2 of them on this machine"):
        Launched.here({**variables, "WORLD_SIZE": "4"})


def test_without_torchrun_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Launched.here({}) is None
    monkeypatch.setattr(torchrun, "START_S", 0.0)
    with pytest.raises(UsageError, match="rank 1 of torchrun's does not answer"):
        Launched(0, 2, secrets.token_hex(8)).reach(1, torchrun.LIFE)
