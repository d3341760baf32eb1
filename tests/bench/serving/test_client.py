"""Loads against a real socket: when requests go out, what comes back, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from attnlab.bench.errors import ServiceError, Unavailable
from attnlab.bench.serving import Asked, Load, Message, ServedLog, Service, drive
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.service import Retries

from .streams import DONE, PLAIN, ROLE, Chat, delta, usage
from .stub import Exchange, Stub, answer

HI = (Message("user", "hi"),)
MS = 1_000_000


def requests(count: int, due_s: float = 0.0, **more: object) -> list[Asked]:
    return [Asked(n, due_s=n * due_s, messages=HI, **more) for n in range(count)]  # type: ignore[arg-type]


def ask(url: str, asked: list[Asked] | None = None, load: str = "concurrency:2", **more: object) -> ServedLog:
    return drive(Chat(), Service(url), asked or requests(3), Load.read(load), **more)  # type: ignore[arg-type]


def test_an_answer_is_logged_as_it_came(stub: Stub) -> None:
    (served,) = ask(stub.serve("one"), requests(1)).requests
    assert (served.failure, served.status, served.attempts, served.streamed) == (None, 200, 1, True)
    assert (served.text, served.finish_reason, served.model, served.done) == ("Hello", "length", "m", True)
    assert served.arrivals.tokens == (0, 1, 2, 2, 2, 2)
    assert (served.counted_by, served.prompt_tokens, served.tokens) == ("usage", 9, 2)
    times = [served.due_ns, served.begun_ns, served.connected_ns, served.sent_ns, served.headers_ns]
    times += [*served.arrivals.times_ns, served.ended_ns]
    assert times == sorted(times, key=lambda time_ns: time_ns or 0)
    assert 0 < served.connecting_ns < served.sent_ns  # type: ignore[operator]


def test_what_is_asked_is_what_the_endpoint_and_the_service_say(stub: Stub) -> None:
    url = stub.serve("body")
    service = Service(f"{url}?v=2", model="m", extra={"top_k": 4}, headers={"X-Route": "a"})
    drive(Chat(), service, requests(1, max_tokens=7), Load.read("together"))
    (exchange,) = stub.asked["body"]
    assert json.loads(exchange.body) == {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 7,
        "stream": True,
        "model": "m",
        "top_k": 4,
    }
    head = exchange.head.lower()
    assert head.startswith("post /body/v1/chat/completions?v=2 http/1.1")
    assert "accept-encoding: identity" in head
    assert "x-route: a" in head
    assert "authorization" not in head


def test_an_answer_that_is_not_streamed_is_one_arrival(stub: Stub) -> None:
    found = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 3}}

    async def whole(exchange: Exchange) -> None:
        await exchange.send(answer("200 OK", json.dumps(found).encode()))

    for stream in (False, True):  # a server may not know how to stream, and say so by its answer
        (served,) = ask(stub.serve("whole", whole), requests(1), stream=stream).requests
        assert (served.text, served.streamed, served.arrivals.tokens) == ("Hello", False, (3,))
        assert served.arrivals.times_ns[0] == served.ended_ns
        assert json.loads(stub.asked["whole"][0].body)["stream"] is stream


def test_a_closed_loop_keeps_so_many_under_way(stub: Stub) -> None:
    running: list[int] = []
    most = 0

    async def slow(exchange: Exchange) -> None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await exchange.stream(PLAIN[:3], end=False)
        await asyncio.sleep(0.01)
        running.pop()
        await exchange.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(PLAIN[3]), PLAIN[3]))

    log = ask(stub.serve("closed", slow), requests(9), "concurrency:3")
    assert (len(log.requests), log.failures, most) == (9, {}, 3)
    assert [one.number for one in log.requests] == list(range(9))
    assert sum(one.connected_ns is not None for one in log.requests) == 3, "connections are kept"
    ends = sorted(one.ended_ns for one in log.requests)
    due = sorted(one.due_ns for one in log.requests)
    assert due[:3] == [0, MS, 2 * MS]
    assert all(0 <= after - end < 20 * MS for end, after in zip(ends, due[3:], strict=False)), "due when one ends"


def test_an_open_loop_begins_when_it_is_due_whatever_becomes_of_the_others(stub: Stub) -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await exchange.stream(PLAIN)

    log = ask(stub.serve("open", slow), requests(8, due_s=0.01), "fixed:100")
    assert [one.due_ns for one in log.requests] == [n * 10 * MS for n in range(8)]
    assert all(one.begun_ns >= one.due_ns for one in log.requests)
    assert max(one.sent_ns or 0 for one in log.requests) < min(one.ended_ns for one in log.requests)
    assert len(log.lag_ns) == 8


def test_latencies_count_from_when_a_request_was_due(stub: Stub) -> None:
    """A client that is held up sends late, and what it waits for is all that lies between."""

    def block(what: str, number: int) -> None:
        if (what, number) == ("begun", 0):
            time.sleep(0.05)

    log = ask(stub.serve("held"), requests(4, due_s=0.005), "fixed:200", on_event=block)
    assert log.late
    assert log.held_up
    second = log.requests[1]
    assert second.due_ns == 5 * MS
    assert (second.lag_ns or 0) > 40 * MS
    request = second.request_log()
    assert request.arrival_ns == 5 * MS
    assert request.chunks[0][0] - request.arrival_ns > 40 * MS


def test_a_client_that_is_not_held_up_sends_in_time(stub: Stub, alone: object) -> None:
    """The median, for the machine may be busy with something else; `test_log` has what is flagged."""
    with alone():  # type: ignore[operator]
        log = ask(stub.serve("kept"), requests(15, due_s=0.01), "fixed:100")
    assert statistics.median(log.lag_ns) < 4 * MS
    assert statistics.median(log.loop_lag_ns) < 4 * MS


def test_turns_carry_what_was_said_and_wait_for_the_reader(stub: Stub) -> None:
    asked = [
        Asked(0, messages=(Message("system", "be brief"), *HI)),
        Asked(1, messages=HI),
        Asked(2, messages=(Message("user", "more"),), after=0, think_s=0.03),
        Asked(3, messages=(Message("user", "again"),), after=2),
    ]
    log = ask(stub.serve("turns"), asked, "concurrency:1")
    assert log.failures == {}
    first, other, second, third = log.requests
    assert second.due_ns == first.ended_ns + 30 * MS
    assert (second.sent_ns or 0) >= second.due_ns
    assert third.due_ns == second.ended_ns
    assert other.due_ns >= third.ended_ns, "the next conversation begins when this one is over"
    said = [[m["content"] for m in json.loads(exchange.body)["messages"]] for exchange in stub.asked["turns"]]
    assert said[2] == ["be brief", "hi", "Hello", "more", "Hello", "again"]


def test_a_turn_whose_answer_failed_is_followed_by_none(stub: Stub) -> None:
    async def fail(exchange: Exchange) -> None:
        await exchange.send(answer("500 Internal Server Error", b"{}"))

    asked = [Asked(0, messages=HI), Asked(1, messages=HI, after=0), Asked(2, messages=HI, after=1)]
    log = ask(stub.serve("broken", fail), asked)
    assert log.failures == {"http_500": 1, "before": 2}
    assert [one.sent_ns is None for one in log.requests] == [False, True, True]
    assert len(stub.asked["broken"]) == 1


def test_a_turn_that_the_endpoint_cannot_write_fails_alone(stub: Stub) -> None:
    class Picky(Chat):
        def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
            if len(asked.messages) > 1:
                raise ValueError("one message at a time")
            return super().body(asked, service, stream)

    asked = [Asked(0, messages=HI), Asked(1, messages=HI, after=0), Asked(2, messages=HI)]
    log = drive(Picky(), Service(stub.serve("picky")), asked, Load.read("concurrency:1"))
    assert [str(one.failure) for one in log.requests] == [
        "None",
        "client: a fault of the client or its endpoint: ValueError: one message at a time",
        "None",
    ]


def test_no_conversation_is_begun_after_the_end_of_a_load(stub: Stub) -> None:
    url = stub.serve("stopped")
    for text in ("fixed:50", "concurrency:1"):
        load = Load.read(text)
        stopped = Load(load.kind, load.concurrency, load.per_second, stop_after_s=0.05)

        def slow(what: str, number: int) -> None:
            if what == "answered":
                time.sleep(0.01)

        log = drive(Chat(), Service(url), requests(40, due_s=0.02), stopped, on_event=slow)
        assert 0 < len(log.requests) < 15
        assert {one.number for one in log.requests} | {*log.unsent} == {*range(40)}
        assert max(one.due_ns for one in log.requests) < 50 * MS
        assert not log.interrupted


def test_the_steady_window_begins_after_the_warm_up(stub: Stub) -> None:
    url = stub.serve("window")
    load = Load.read("fixed:100")
    log = drive(Chat(), Service(url), requests(10, due_s=0.01), load.warmed_up(seconds=0.045))
    assert [one.number for one in log.steady] == [5, 6, 7, 8, 9]
    log = drive(Chat(), Service(url), requests(6), Load.read("concurrency:1").warmed_up(requests=2))
    assert [one.number for one in log.steady] == [2, 3, 4, 5]
    assert drive(Chat(), Service(url), requests(3), load.warmed_up(requests=9)).steady == ()


def test_a_tokenizer_counts_where_the_server_does_not(stub: Stub) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.stream([ROLE, delta(content="a b"), delta(content=" c", finish="stop"), DONE])

    url = stub.serve("silent", silent)
    (served,) = ask(url, requests(1), count=lambda text: len(text.split())).requests
    assert (served.counted_by, served.arrivals.tokens) == ("tokenizer", (0, 2, 3, 3))
    assert ask(url, requests(1)).requests[0].counted_by == "chunks"


def test_the_share_of_the_cache_is_told(stub: Stub) -> None:
    async def cached(exchange: Exchange) -> None:
        await exchange.stream([*PLAIN[:-2], usage(9, 2, cached=8), DONE])

    found = ask(stub.serve("cached", cached), requests(1)).requests[0].usage
    assert found is not None
    assert found.cached == 8


def test_no_more_sockets_than_asked_for(stub: Stub) -> None:
    service = Service(stub.serve("sockets"), sockets=1)
    log = drive(Chat(), service, requests(4), Load.read("together"))
    assert log.failures == {}
    assert [one.connected_ns is not None for one in log.requests] == [True, False, False, False]
    assert log.requests[3].connecting_ns > 0, "waiting for a socket is no lateness of the client"
    service = Service(stub.serve("closing"), keep_alive=False)
    log = drive(Chat(), service, requests(3), Load.read("concurrency:1"))
    assert all(one.connected_ns is not None for one in log.requests)
    assert "connection: close" in stub.asked["closing"][0].head.lower()


@pytest.mark.parametrize("text", ["fixed:200", "concurrency:5"])
def test_several_processes_share_a_load(stub: Stub, text: str) -> None:
    log = ask(stub.serve("shared"), requests(12, due_s=0.005), text, processes=3)
    assert (log.processes, log.failures, log.unsent) == (3, {}, ())
    assert [one.number for one in log.requests] == list(range(12))
    assert {one.process for one in log.requests} <= {0, 1, 2}
    assert len(stub.asked["shared"]) == 12, "each once"
    if text.startswith("fixed"):
        assert [one.due_ns for one in log.requests] == [n * 5 * MS for n in range(12)], "by one clock"
        assert [one.process for one in log.requests] == [0, 1, 2] * 4
    assert all(0 <= one.due_ns <= (one.sent_ns or 0) <= one.ended_ns for one in log.requests)


def test_nothing_is_left_behind(stub: Stub) -> None:
    before = {thread.name for thread in threading.enumerate()}
    ask(stub.serve("left"), processes=2)
    ask(stub.serve("left"))
    assert psutil.Process().children() == []
    assert {thread.name for thread in threading.enumerate()} == before


def test_a_process_that_dies_loses_its_own_requests_alone(stub: Stub) -> None:
    async def kill(exchange: Exchange) -> None:
        if exchange.number == 0:
            psutil.Process().children()[0].kill()
        await asyncio.sleep(0.02)
        await exchange.stream(PLAIN)

    log = ask(stub.serve("killed", kill), requests(8, due_s=0.002), "fixed:500", processes=2)
    assert len(log.requests) == 8
    assert log.failures == {"client": 4}
    failure = next(one.failure for one in log.requests if one.failure is not None)
    assert failure == Failure("client", "process 0 of the client ended with -9 within the load")


def test_it_can_be_called_where_a_loop_runs(stub: Stub) -> None:
    async def notebook() -> ServedLog:
        return ask(stub.serve("notebook"))

    assert asyncio.run(notebook()).failures == {}


@pytest.mark.parametrize("processes", [1, 2])
def test_what_cannot_begin_is_raised(stub: Stub, tmp_path: Path, processes: int) -> None:
    url = stub.serve("never")
    for service in (
        Service(url, key_env="ATTNLAB_NO_SUCH_KEY"),
        Service(url.replace("http", "https"), ca_file=str(tmp_path / "none")),
    ):
        with pytest.raises(ServiceError):
            drive(Chat(), service, requests(4), Load.read("together"), processes=processes)
    assert psutil.Process().children() == []
    assert stub.asked["never"] == []


def test_what_cannot_be_asked_is_refused(stub: Stub) -> None:
    url = stub.serve("refusing")
    with pytest.raises(ServiceError, match="1 to 64"):
        ask(url, processes=0)
    with pytest.raises(ServiceError, match="on_event"):
        ask(url, processes=2, on_event=print)
    with pytest.raises(ServiceError, match="at least one"):
        drive(Chat(), Service(url), [], Load.read("together"))


def test_retries_are_counted_and_latency_counts_from_the_first_due_time(stub: Stub) -> None:
    async def busy(exchange: Exchange) -> None:
        if exchange.number < 2:
            await exchange.send(answer("429 Too Many Requests", b'{"error": "busy"}', Retry_After="0.03"))
        else:
            await exchange.stream(PLAIN)

    service = Service(stub.serve("busy", busy), retries=Retries(times=3, first_s=9))
    log = drive(Chat(), service, requests(1), Load.read("together"))
    (served,) = log.requests
    assert (served.failure, served.attempts, log.retries) == (None, 3, 2)
    assert [failure.kind for failure in served.retried] == ["http_429", "http_429"]
    assert served.due_ns == 0
    assert served.request_log().chunks[0][0] > 60 * MS
    assert (served.lag_ns or 0) < 20 * MS, "waiting for a retry is no lateness"


def test_by_default_nothing_is_sent_again(stub: Stub) -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.send(answer("503 Service Unavailable", b""))

    log = ask(stub.serve("once", busy), requests(2))
    assert (log.failures, log.retries, len(stub.asked["once"])) == ({"http_503": 2}, 0, 2)


def test_what_began_to_be_answered_is_not_sent_again(stub: Stub) -> None:
    async def reset(exchange: Exchange) -> None:
        await exchange.stream(PLAIN[:2], end=False)
        await asyncio.sleep(0.01)
        exchange.reset()

    service = Service(stub.serve("again", reset), retries=Retries(times=3, first_s=0))
    (served,) = drive(Chat(), service, requests(1), Load.read("together")).requests
    assert (served.attempts, served.tokens) == (1, 1)
    assert len(stub.asked["again"]) == 1


def test_the_http_library_is_imported_when_a_load_is_driven_alone() -> None:
    code = (
        "import sys, attnlab.bench.serving.client, attnlab.bench.serving as s; s.openai, s.Service, s.Load, s.Part;"
        "sys.exit(bool({'aiohttp', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_the_http_library_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("attnlab.bench.serving._")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(Unavailable, match=r"aiohttp is not installed; pip install 'attnlab\[serve\]'"):
        ask("http://127.0.0.1:9")
