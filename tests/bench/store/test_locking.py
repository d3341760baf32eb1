"""Who has a file's lock is alone with it, and where there are no locks nobody waits."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench.store import locking
from attnlab.bench.store.locking import alone_with, take

HOLDER = """
import sys
from pathlib import Path
from attnlab.bench.store.locking import alone_with
with alone_with(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with file.open("ab") as opened:
            assert not take(opened)
        ended: list[int | None] = []

        def wait() -> None:
            ended.append(holder.poll())
            holder.kill()

        with alone_with(file, wait):
            assert ended == [None]
            assert holder.wait(10) < 0


def test_who_is_first_does_not_wait(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_with(tmp_path / "lock", lambda: pytest.fail("waits")), (tmp_path / "lock").open("ab") as opened:
            assert not take(opened)


def test_without_locks_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(file: object, what: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locking.fcntl, "flock", refused)
    with alone_with(tmp_path / "lock", lambda: pytest.fail("waits")), (tmp_path / "lock").open("ab") as opened:
        assert take(opened)


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), alone_with(tmp_path / "nowhere" / "lock", lambda: None):
        pass
