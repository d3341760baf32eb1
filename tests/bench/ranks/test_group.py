"""How a group tells which of its ranks failed, and how, with ranks that answer without torch."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from attnlab.bench.contract.ranks import RankFailed
from attnlab.bench.errors import Unavailable
from attnlab.bench.ranks import deadline, group
from attnlab.bench.ranks.group import Group, Place, late_reason
from attnlab.bench.ranks.stacks import Standing, standing
from attnlab.bench.store.records import Outcome

RANK = """
import json, os, signal, sys, time
sys.path[:] = json.loads(sys.argv[3])
from multiprocessing.connection import Connection
from attnlab.bench.contract.descendants import end_with
from attnlab.bench.ranks.orders import Done, Raised
end_with(int(sys.argv[2]))
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
rank, asked = int(sys.argv[4].removeprefix("rank=")), Connection(int(sys.argv[1]))
asked.recv_bytes()
asked.send(Done())
asked.recv_bytes()
"""
HONEST = "asked.send(Done(float(rank + 1)))\nasked.recv_bytes()\n"

Fails = Callable[..., RankFailed]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Group]]:
    """A group of ranks of which the last does as the code says, and the others answer, unless told to wait for it."""
    groups: list[Group] = []

    def start(last: str, others: str = HONEST, ranks: int = 2) -> Group:
        branches = "".join(f"    {line}\n" for line in last.splitlines())
        rest = "".join(f"    {line}\n" for line in others.splitlines())
        monkeypatch.setattr(group, "BOOT", f"{RANK}if rank == {ranks - 1}:\n{branches}else:\n{rest}")
        groups.append(Group(Place(ranks, "cpu")))
        return groups[-1]

    yield start
    for made in groups:
        made.end()


@pytest.fixture
def fails(started: Callable[..., Group]) -> Fails:
    """What comes of an order that the last rank does not do; all ranks have ended then."""

    def fail(last: str, others: str = HONEST, ranks: int = 2, limit_s: float = 60.0) -> RankFailed:
        made = started(last, others, ranks)
        processes = [psutil.Process(process.pid) for process in made._processes]
        deadline.begin(limit_s)
        try:
            with pytest.raises(RankFailed) as failed:
                made.ask("in a call", [None] * ranks)
        finally:
            deadline.begin(None)
        assert not psutil.wait_procs(processes, timeout=0)[1]
        assert not made.alive
        return failed.value

    return fail


WAITS = "time.sleep(3600)"


def test_answers_come_in_the_order_of_ranks(started: Callable[..., Group]) -> None:
    made = started("time.sleep(0.2)\n" + HONEST, ranks=3)
    assert [done.elapsed_ns for done in made.ask("in a call", [None] * 3)] == [1.0, 2.0, 3.0]
    assert made.alive


def test_one_that_raises_is_named_though_others_wait(fails: Fails) -> None:
    failed = fails('asked.send(Raised("ValueError: no such thing", "the traceback", "failed"))\n' + WAITS, WAITS)
    assert str(failed) == "rank 1 of 2 failed while in a call: ValueError: no such thing"
    assert (failed.outcome, failed.detail) == (Outcome.FAILED, "the traceback")


def test_a_dead_one_is_named_before_those_that_raise_because_of_it(fails: Fails) -> None:
    raises = 'asked.send(Raised("RuntimeError: Connection closed by peer", None, "failed"))\n' + WAITS
    failed = fails("time.sleep(0.05)\nos.kill(os.getpid(), signal.SIGKILL)", raises)
    assert str(failed) == "rank 1 of 2 was killed by SIGKILL while in a call"


def test_an_exit_is_told_with_its_code(fails: Fails) -> None:
    assert str(fails("os._exit(7)", WAITS, ranks=3)) == "rank 2 of 3 ended with exit code 7 while in a call"


def test_a_late_one_is_ended_at_the_limit_and_named(fails: Fails) -> None:
    begun = time.monotonic()
    failed = fails(WAITS, limit_s=0.5)
    assert time.monotonic() - begun < 30
    assert failed.outcome is Outcome.TIMED_OUT
    assert str(failed).startswith("rank 1 came to no end while in a call, in 0.4")
    assert str(failed).endswith("s: rank 1 does not answer; rank 0 came to an end")


def test_a_stopped_one_is_ended_too(fails: Fails) -> None:
    assert fails("os.kill(os.getpid(), signal.SIGSTOP)", limit_s=0.5).outcome is Outcome.TIMED_OUT


def test_one_that_cannot_serve_here_says_why(started: Callable[..., Group]) -> None:
    made = started('asked.send(Raised("no link to rank 0", None, "unavailable"))\n' + WAITS)
    with pytest.raises(Unavailable, match="no link to rank 0"):
        made.ask("preparing", [None] * 2)


def test_after_a_wrong_shape_the_ranks_are_still_together(started: Callable[..., Group]) -> None:
    wrong = 'asked.send(Raised("output out has shape (3,); expected (4,)", None, "wrong_shape"))\nasked.recv_bytes()\n'
    made = started(f"{wrong}{HONEST}", f"asked.send(Done())\nasked.recv_bytes()\n{HONEST}")
    with pytest.raises(RankFailed, match=r"^rank 1 of 2 failed while in a call: output out has shape") as failed:
        made.ask("in a call", [None] * 2)
    assert failed.value.outcome is Outcome.WRONG_SHAPE
    assert [done.elapsed_ns for done in made.ask("in a call", [None] * 2)] == [1.0, 2.0]


def test_more_ranks_than_gpus_are_told_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(Unavailable, match=r"4 ranks need 4 GPUs, one each; this machine has 1$"):
        Group(Place(4, "cuda"))


def test_no_rank_outlives_its_owner() -> None:
    """Killed, it can end nobody itself."""
    code = (
        "from attnlab.bench.ranks import group\n"
        f"group.BOOT = {(RANK + WAITS)!r}\n"
        "made = group.Group(group.Place(2, 'cpu'))\n"
        "print(*[process.pid for process in made._processes], flush=True)\n"
        "import time; time.sleep(3600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        ranks = [psutil.Process(int(number)) for number in owner.stdout.readline().split()]
        assert len(ranks) == 2
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close() if owner.stdout else None
    assert not psutil.wait_procs(ranks, timeout=30)[1]


STACK = """Current thread 0x00007f (most recent call first):
  File "/x/site-packages/torch/distributed/distributed_c10d.py", line 3180 in all_reduce
  File "/x/site-packages/torch/distributed/c10d_logger.py", line 83 in wrapper
  File "/home/me/mine.py", line 12 in run_rank
  File "/x/bench/ranks/part.py", line 48 in <lambda>
"""


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (STACK, "waits in all_reduce"),
        ('  File "/home/me/mine.py", line 12 in run_rank\n' + STACK, "is at /home/me/mine.py:12, run_rank"),
        ('  File "/x/bench/ranks/windows.py", line 50 in _met\n', "waits in the barrier before its call"),
        ("", "does not answer"),
    ],
)
def test_where_a_rank_stands_is_read_off_its_stack(stack: str, said: str) -> None:
    assert str(standing(stack)) == said


def test_ranks_that_wait_for_each_other_are_told_to_make_the_same_calls() -> None:
    waiting = {0: Standing(collective="all_reduce"), 1: Standing(collective="recv")}
    assert late_reason("in a call", waiting, [], 5.0) == (
        "ranks 0 and 1 waited for others to no end while in a call, in 5 s: rank 0 waits in all_reduce; rank 1 waits "
        "in recv; all ranks have to make the same calls of torch.distributed, in the same order"
    )


def test_one_that_is_busy_is_named_before_those_that_wait_for_it() -> None:
    at = {0: Standing(collective="all_reduce"), 1: Standing(place="mine.py:3, run_rank")}
    reason = late_reason("in a call", at, [2], 5.0)
    assert reason == (
        "rank 1 came to no end while in a call, in 5 s: rank 1 is at mine.py:3, run_rank; rank 0 waits in all_reduce; "
        "rank 2 came to an end"
    )
