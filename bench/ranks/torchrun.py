"""Ranks that torchrun started: the first runs the command line, the others start a process each time they are asked.

So a case whose ranks failed gets new ones, as everywhere, and torchrun says where each runs, with what variables. A
rank listens at a socket without a file, and answers processes of its own user alone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from attnlab.bench.errors import UsageError

LIFE, MEMBER = b"L", b"M"  # what a connection is for: to live as long as it, or to start a process
START_S = 60.0  # for the others to listen
LONGEST_ORDER_BYTES = 1 << 20


@dataclass(frozen=True)
class Launched:
    """What torchrun said: this process's rank, how many there are, and what tells this launch from others."""

    rank: int
    world_size: int
    launch: str

    @classmethod
    def here(cls, variables: Mapping[str, str] = os.environ) -> Launched | None:
        """None where torchrun started none of this. Raises UsageError of ranks on several machines."""
        if "TORCHELASTIC_RUN_ID" not in variables:
            return None
        size, on_this = (int(variables[name]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if size != on_this:
            raise UsageError(
                f"torchrun started {size} ranks, {on_this} of them on this machine; expected all on one, as they share "
                "memory: give it --nnodes 1"
            )
        return cls(int(variables["RANK"]), size, f"{variables['TORCHELASTIC_RUN_ID']}-{variables['MASTER_PORT']}")

    def address(self, rank: int) -> str:
        return f"\0attnlab-{os.getuid()}-{self.launch}-{rank}"

    def reach(self, rank: int, purpose: bytes) -> socket.socket:
        """A connection to another rank; raises UsageError where it does not answer."""
        ends_s = time.monotonic() + START_S
        while True:
            made = socket.socket(socket.AF_UNIX)
            with suppress(ConnectionRefusedError):
                made.connect(self.address(rank))
                if _is_own(made):
                    made.sendall(purpose)
                    return made
            made.close()
            if time.monotonic() > ends_s:
                raise UsageError(f"rank {rank} of torchrun's does not answer; start every rank with the same command")
            time.sleep(0.1)


def run_or_serve(launched: Launched, run: Callable[[], int]) -> int:
    """As the first rank run the command, with the others alive meanwhile; as another serve until the first ends."""
    if launched.rank:
        serve(launched)
    lives = [launched.reach(rank, LIFE) for rank in range(1, launched.world_size)]
    try:
        return run()
    finally:
        for life in lives:
            life.close()


def serve(launched: Launched) -> None:
    """Start a process for whoever asks; the first rank's end is this one's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(launched.address(launched.rank))
        listener.listen()
        while True:
            asked = listener.accept()[0]
            if _is_own(asked):
                threading.Thread(target=_answer, args=(asked, launched.rank), daemon=True).start()
            else:
                asked.close()


def _answer(asked: socket.socket, rank: int) -> None:
    with asked, suppress(OSError):
        if asked.recv(1) == MEMBER:
            _keep(asked, rank)
        else:
            asked.recv(1)  # which comes when the first rank is gone
            os._exit(0)


def _keep(asked: socket.socket, rank: int) -> None:
    """Start a rank's process, hand its end over, and tell its exit code; one that nobody waits for is ended."""
    order = json.loads(asked.recv(LONGEST_ORDER_BYTES))
    own, far = socket.socketpair()
    with own, far:
        arguments = [str(far.fileno()), str(os.getpid()), order["path"], f"rank={rank}"]
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", order["boot"], *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(far.fileno(),),
            env={**os.environ, **order["variables"]},
        )
        socket.send_fds(asked, [struct.pack("i", process.pid)], [own.fileno()])
    ended = os.pidfd_open(process.pid)
    select.select([asked.fileno(), ended], [], [])
    process.kill()
    code = process.wait()
    os.close(ended)
    asked.sendall(struct.pack("i", code))


class Supervised:
    """A rank's process that another rank of torchrun's started; what `subprocess.Popen` is of one's own."""

    def __init__(self, launched: Launched, rank: int, boot: str, path: str, variables: Mapping[str, str]) -> None:
        self._asked = launched.reach(rank, MEMBER)
        self._asked.sendall(json.dumps({"boot": boot, "path": path, "variables": dict(variables)}).encode())
        told, descriptors, _, _ = socket.recv_fds(self._asked, 4, 1)
        if not descriptors:
            raise UsageError(f"rank {rank} of torchrun's could start no process")
        self.pid: int = struct.unpack("i", told)[0]
        self.connection = Connection(descriptors[0])
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._code(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        self._asked.close()
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _code(self, limit_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._asked], [], [], limit_s)[0]:
            told = self._asked.recv(4)
            self.returncode = struct.unpack("i", told)[0] if len(told) == 4 else -signal.SIGKILL
        return self.returncode


def _is_own(made: socket.socket) -> bool:
    """Whether a process of this user is at the other end: what it sends is run."""
    credentials: Any = made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())
