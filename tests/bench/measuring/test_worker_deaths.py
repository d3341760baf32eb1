"""How the parent reads the ways in which a worker can go, with workers that answer without torch."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from attnlab.bench.machine.cgroup import ControlGroup
from attnlab.bench.measuring import worker_process
from attnlab.bench.measuring.isolation import Worker
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.measuring.worker_process import Process
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import LONGEST_BLOCK

ORDER = WorkerOrder("toy", "one", "toys", (), "cpu", {}, {}, 0, None, "/nowhere")
BLANK = Measurement("toy", "one", {"n": 8}, "N8", Outcome.UNAVAILABLE, operations=8)


class Believing:
    """Takes a worker at its word, as nothing but these tests does."""

    def begin(self, case_id: str) -> None: ...

    def hear(self, value: object) -> None: ...

    def settle(self, case_id: str, claim: Measurement, blank: Measurement, *_: object) -> Measurement:
        return claim


BELIEVING = Believing()
GREETING = """
import json, os, signal, sys, time
answers = os.fdopen(int(sys.argv[1]), "w")
def say(kind, value=None):
    print(json.dumps([kind, value]), file=answers, flush=True)
sys.stdin.readline()
say("ready")
sys.stdin.readline()
say("phase", "check")
"""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> object:
    """Takes what a worker does upon its first case; gives the measurement that comes of it."""

    def measure(code: str, limit_s: float = 60.0) -> Measurement:
        monkeypatch.setattr(worker_process, "BOOT", GREETING + code)
        worker = Worker(ORDER, limit_s, BELIEVING)
        try:
            return worker.run("N8", BLANK)
        finally:
            worker.close()

    return measure


def test_a_good_answer_is_taken_as_it_is(dying) -> None:
    good = Measurement("toy", "one", {"n": 8}, "N8", Outcome.PASSED, median_ns=5.0)
    answer = f"say('measurement', json.loads({json.dumps(encode(good))!r}))"
    assert dying(answer) == replace(good, printed_bytes=0)


def test_an_answer_that_cannot_be_stored_is_a_failure(dying) -> None:
    measured = dying("say('measurement', {'outcome': 'splendid'})")
    assert measured.outcome is Outcome.FAILED
    assert "cannot be stored" in measured.reason
    assert measured.operations == 8


def test_an_exit_says_its_code_and_what_was_printed(dying) -> None:
    measured = dying("sys.exit('enough')")
    assert measured.outcome is Outcome.FAILED
    assert measured.reason == "the process ended with exit code 1 in phase 'check'"
    assert measured.detail == "enough"


@pytest.mark.parametrize("how", ["os.write(1, text)", "os.write(2, text)"])
def test_of_what_is_printed_without_end_the_two_ends_are_kept(dying, how: str) -> None:
    """100 MB: nothing of it goes to a disk, and the process does not stand still at a full pipe."""
    write = f"[{how} for text in [b'first words ', *[b'x' * 100_000] * 1000, b' last words']]"
    measured = dying(f"{write}; os._exit(7)")
    assert "exit code 7" in measured.reason
    assert len(measured.detail) <= LONGEST_BLOCK
    assert measured.detail.startswith("first words xxx")
    assert measured.detail.endswith("xxx last words")
    assert "bytes left out" in measured.detail or "characters left out" in measured.detail


def test_what_a_case_prints_is_kept_beside_its_outcome(dying) -> None:
    good = Measurement("toy", "one", {"n": 8}, "N8", Outcome.PASSED)
    measured = dying(f"os.write(1, b'n' * 100_000); say('measurement', json.loads({json.dumps(encode(good))!r}))")
    assert measured.printed_bytes == 100_000
    assert measured.printed.startswith("nnn")
    assert measured.flags == ("its process prints, which takes time (97.7 KiB meanwhile)",)


def test_a_signal_without_a_name_is_told_by_its_number(dying) -> None:
    assert "killed by signal 40 " in dying("os.kill(os.getpid(), 40)").reason


def test_a_process_that_cuts_itself_off_is_ended(dying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "DYING_S", 0.1)
    measured = dying("answers.close(); time.sleep(60)")
    assert measured.outcome is Outcome.FAILED
    assert measured.reason == "the process closed the channel for its answers in phase 'check'"


def test_a_child_that_holds_the_channel_open_does_not_hide_a_death(dying) -> None:
    measured = dying("os.fork() == 0 and (time.sleep(60), os._exit(0)); os._exit(4)")
    assert measured.outcome is Outcome.FAILED
    assert "exit code 4" in measured.reason


def test_the_log_of_an_earlier_case_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.dumps(encode(Measurement("toy", "one", {"n": 8}, "N8", Outcome.PASSED)))
    code = f"""
print("out of memory", flush=True)
say("measurement", json.loads({good!r}))
sys.stdin.readline()
os._exit(9)
"""
    monkeypatch.setattr(worker_process, "BOOT", GREETING + code)
    worker = Worker(ORDER, 60.0, BELIEVING)
    assert worker.run("N8", BLANK).outcome is Outcome.PASSED
    second = worker.run("N8", BLANK)
    worker.close()
    assert second.outcome is Outcome.FAILED
    assert second.detail is None


@pytest.mark.parametrize("sign", ["std::bad_alloc", "MemoryError", "CUDA out of memory"])
def test_words_of_the_dying_process_are_evidence_of_memory(dying, sign: str) -> None:
    measured = dying(f"print('terminate: {sign}', flush=True); os.abort()")
    assert measured.outcome is Outcome.OUT_OF_MEMORY
    assert "SIGABRT" in measured.reason


@pytest.mark.parametrize(("before", "after", "outcome"), [(3, 4, Outcome.OUT_OF_MEMORY), (3, 3, Outcome.FAILED)])
def test_a_kill_is_out_of_memory_where_the_kernel_counted_one(
    dying, monkeypatch: pytest.MonkeyPatch, before: int, after: int, outcome: Outcome
) -> None:
    counts = iter((before, after))

    class Counting(ControlGroup):
        def kernel_kills(self) -> int:
            return next(counts)

    monkeypatch.setattr(worker_process, "own_group", lambda: Counting(()))
    measured = dying("os.kill(os.getpid(), signal.SIGKILL)")
    assert measured.outcome is outcome
    assert "SIGKILL" in measured.reason


def test_a_silent_worker_is_ended_at_its_limit(dying) -> None:
    measured = dying("import faulthandler; faulthandler.enable(); time.sleep(60)", limit_s=0.2)
    assert measured.outcome is Outcome.TIMED_OUT
    assert measured.reason == "took longer than 0.2 s, and was ended in phase 'check'"
    assert 'File "<string>", line' in measured.detail, "where it was"


def test_a_worker_that_cannot_be_started_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process.sys, "executable", "/no/such/python")
    measured = Worker(ORDER, 60.0, BELIEVING).run("N8", BLANK)
    assert measured.outcome is Outcome.FAILED
    assert "no process could be started" in measured.reason


def test_a_worker_is_started_ahead_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Measurement("toy", "one", {"n": 8}, "N8", Outcome.PASSED, median_ns=5.0)
    monkeypatch.setattr(
        worker_process, "BOOT", GREETING + f"say('measurement', json.loads({json.dumps(encode(good))!r}))"
    )
    made: list[object] = []

    def begin(device: str) -> Process:
        made.append(device)
        return Process(device)

    worker = Worker(ORDER, 60.0, BELIEVING, begin)
    worker.start()
    worker.wait()
    worker.wait()
    assert worker.run("N8", BLANK) == replace(good, printed_bytes=0)
    assert made == [ORDER.device]
    worker.close()


def test_what_fails_ahead_is_told_by_the_first_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "BOOT", "import sys; sys.exit('enough')")
    worker = Worker(ORDER, 60.0, BELIEVING)
    worker.start()
    worker.wait()
    measured = worker.run("N8", BLANK)
    assert measured.outcome is Outcome.FAILED
    assert "ended with exit code 1" in measured.reason
    worker.close()


def test_files_of_the_current_folder_shadow_nothing_in_a_worker(
    dying, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(tmp_path)
    assert dying("os._exit(5)").reason == "the process ended with exit code 5 in phase 'check'"


@pytest.mark.parametrize("fork", ["os.fork()", "os.fork() or os.setsid() or os.fork()"])
def test_what_a_process_started_ends_with_it(dying, tmp_path: Path, fork: str) -> None:
    """A child, and one of a session of its own whose parent is gone."""
    number = tmp_path / "child"
    leave = f"({fork}) or (open({str(number)!r}, 'w').write(str(os.getpid())), time.sleep(600), os._exit(0))"
    dying(f"{leave}\nwhile not os.path.exists({str(number)!r}) or not open({str(number)!r}).read(): pass\nos._exit(3)")
    child = int(number.read_text())
    deadline = time.monotonic() + 60.0  # for the kernel to be done with it
    while _runs(child):
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.01)


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
