"""A group of ranks: starts their processes, has all of them do the same, and tells which of them failed, and how."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.ranks import RankFailed
from attnlab.bench.errors import Unavailable
from attnlab.bench.ranks.anonymous import AnonymousFile
from attnlab.bench.ranks.deadline import left_s
from attnlab.bench.ranks.orders import Done, Join, Raised
from attnlab.bench.ranks.shared import SharedMemory
from attnlab.bench.ranks.stacks import Standing, where_they_are
from attnlab.bench.ranks.torchrun import Launched, Supervised
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import block, one_line

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); from attnlab.bench.contract.descendants import end_with; "
    "end_with(int(sys.argv[2])); from attnlab.bench.measuring.ranks.member import main; main(int(sys.argv[1]))"
)
WRONG = (Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE, Outcome.WRONG_VALUES)
GRACE_S = 0.3  # for others to tell what they died of, when one failed: the first to be heard need not be the first
ENDING_S = 2.0  # for a process that is told to end


@dataclass(frozen=True)
class Place:
    """Where ranks run: how many of them, on what kind of device. Raises Unavailable where there is no room for them."""

    world_size: int
    device: str

    def check(self) -> None:
        launched = Launched.here()
        if launched is not None and launched.world_size != self.world_size:
            raise Unavailable(
                f"torchrun started {launched.world_size} ranks, and the case has {self.world_size}; give it "
                f"--nproc-per-node {self.world_size}"
            )
        if self.device != "cuda":
            return
        there = torch.cuda.device_count()
        if there < self.world_size:
            raise Unavailable(
                f"{self.world_size} ranks need {self.world_size} GPUs, one each; this machine has {there}"
            )


class Group:
    """Processes, one a rank, that torch.distributed knows as its default group; they end with this one."""

    def __init__(self, place: Place) -> None:
        place.check()
        self.place = place
        self._forgotten: list[Any] = []
        self._open = ExitStack()
        self._processes: list[subprocess.Popen[bytes] | Supervised] = []
        self._launched = Launched.here()
        self._connections: list[Connection] = []
        try:
            self._store, *self._stacks = [self._file() for _ in range(1 + place.world_size)]
            for rank in range(place.world_size):
                self._start(rank)
            memory = SharedMemory()
            came = memory.empty((place.world_size,), torch.int64)
            self._ask("starting", [self._join(rank, came) for rank in range(place.world_size)], memory)
            memory.close()
        except BaseException:
            self.end()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked for more."""
        return bool(self._processes) and all(process.poll() is None for process in self._processes)

    def ask(self, what: str, orders: Sequence[Any], memory: SharedMemory | None = None) -> list[Done]:
        """What ranks answer to an order each, in their order; `what` is what they are at, for the reason.

        Raises RankFailed, or Unavailable where a rank says that; then the group has ended, unless all that is wrong is
        what a rank returned.
        """
        forgotten, self._forgotten = self._forgotten, []
        for order in forgotten:
            self._ask("forgetting", [order] * self.place.world_size)
        return self._ask(what, orders, memory)

    def forget(self, order: Any) -> None:
        """Send an order along with the next: this may be called at any time."""
        self._forgotten.append(order)

    def end(self) -> None:
        """End all processes, whatever they are at."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self._processes:
            process.wait()
        for connection in self._connections:
            connection.close()
        self._processes, self._connections = [], []
        self._open.close()

    def _start(self, rank: int) -> None:
        path = json.dumps([entry or os.getcwd() for entry in sys.path])
        if rank and self._launched is not None:
            supervised = Supervised(self._launched, rank, BOOT, path, own_variables(self.place.device))
            self._connections.append(supervised.connection)
            self._processes.append(supervised)
            return
        own, far = Pipe()
        self._connections.append(own)
        with far:
            arguments = [str(far.fileno()), str(os.getpid()), path, f"rank={rank}"]
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-c", BOOT, *arguments],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(far.fileno(),),
                    env={**os.environ, **own_variables(self.place.device)},
                )
            )

    def _join(self, rank: int, came: Tensor) -> Join:
        place = self.place
        return Join(rank, place.world_size, place.device, str(self._store), str(self._stacks[rank]), came)

    def _file(self) -> Path:
        made = AnonymousFile()
        self._open.callback(made.close)
        return made.path

    def _ask(self, what: str, orders: Sequence[Any], memory: SharedMemory | None = None) -> list[Done]:
        limit_s = left_s()
        for connection, order in zip(self._connections, orders, strict=True):
            with contextlib.suppress(BrokenPipeError):  # it is gone, which is seen below
                connection.send_bytes((memory or SharedMemory()).dumps(order))
        answers = self._answers(time.monotonic() + limit_s)
        if len(answers) == len(orders) and all(isinstance(answer, Done) for answer in answers.values()):
            return [answers[rank] for rank in sorted(answers)]
        failure = self._failure(what, answers, limit_s)
        if not _may_go_on(answers, len(orders)):
            self.end()
        raise failure

    def _answers(self, ends_s: float) -> dict[int, Any]:
        """By rank, until one fails or time is up; None of one that is dead."""
        answers: dict[int, Any] = {}
        while len(answers) < len(self._connections):
            waiting = {c: rank for rank, c in enumerate(self._connections) if rank not in answers}
            ready = wait(list(waiting), max(0.0, ends_s - time.monotonic()))
            if not ready:
                break
            for connection in ready:
                assert isinstance(connection, Connection)
                rank = waiting[connection]
                try:
                    answers[rank] = connection.recv()
                except (EOFError, OSError):
                    answers[rank] = None
            if not all(isinstance(answer, Done) for answer in answers.values()):
                ends_s = min(ends_s, time.monotonic() + GRACE_S)
        return answers

    def _failure(self, what: str, answers: Mapping[int, Any], limit_s: float) -> Exception:
        """The dead are named before those who raised: what is raised may be that another is gone."""
        dead = [rank for rank, answer in answers.items() if answer is None]
        if dead:
            how = _death(self._processes[dead[0]])
            return RankFailed(f"rank {dead[0]} of {self.place.world_size} {how} while {what}{_beside(dead[1:])}")
        raised = {rank: answer for rank, answer in sorted(answers.items()) if isinstance(answer, Raised)}
        if raised:
            rank, said = next(iter(raised.items()))
            reason, outcome = one_line(said.reason), Outcome(said.outcome)
            if outcome is Outcome.UNAVAILABLE:
                return Unavailable(reason)
            others = _beside([other for other in raised if other != rank])
            reason = f"rank {rank} of {self.place.world_size} failed while {what}{others}: {reason}"
            return RankFailed(reason, None if said.detail is None else block(said.detail), outcome)
        late = [rank for rank in range(self.place.world_size) if rank not in answers]
        numbers = {rank: (self._processes[rank].pid, self._stacks[rank]) for rank in late}
        standing = where_they_are(numbers)
        return RankFailed(late_reason(what, standing, sorted(answers), limit_s), None, Outcome.TIMED_OUT)


def late_reason(what: str, standing: Mapping[int, Standing], done: Sequence[int], limit_s: float) -> str:
    """Why ranks came to no end: those that wait for others are named after those that do not."""
    waiting = {rank: at for rank, at in standing.items() if at.collective is not None}
    stuck = {rank: at for rank, at in standing.items() if rank not in waiting}
    ended = [f"{_ranks(done)} came to an end"] if done else []
    if stuck:
        told = [f"rank {rank} {at}" for rank, at in (*stuck.items(), *waiting.items())] + ended
        return f"{_ranks(list(stuck))} came to no end while {what}, in {limit_s:.3g} s: {'; '.join(told)}"
    told = [f"rank {rank} {at}" for rank, at in waiting.items()] + ended
    return (
        f"{_ranks(list(waiting))} waited for others to no end while {what}, in {limit_s:.3g} s: {'; '.join(told)}; all "
        "ranks have to make the same calls of torch.distributed, in the same order"
    )


def _may_go_on(answers: Mapping[int, Any], size: int) -> bool:
    """Whether each rank came through, and what is wrong is what one returned: they are still together."""
    raised = [answer for answer in answers.values() if not isinstance(answer, Done)]
    return len(answers) == size and all(answer and Outcome(answer.outcome) in WRONG for answer in raised)


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {' and '.join(map(str, ranks))}"


def _beside(ranks: Iterable[int]) -> str:
    others = list(ranks)
    return f" (so did {_ranks(others)})" if others else ""


def _death(process: subprocess.Popen[bytes] | Supervised) -> str:
    code = process.wait(ENDING_S)
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def own_variables(device: str) -> dict[str, str]:
    """A rank's variables: on a CPU one thread each, and the machine's own interface, for ranks that are all on it."""
    own = {} if device == "cuda" else {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return {"PYTHONUNBUFFERED": "1", **own}
