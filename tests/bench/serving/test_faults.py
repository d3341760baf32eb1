"""Faults of servers and networks, each on a real socket: one request fails with its words, and the next is served."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from attnlab.bench.errors import ServiceError
from attnlab.bench.serving import (
    Asked,
    Limits,
    Load,
    Message,
    Part,
    Served,
    ServedLog,
    Service,
    _asking,
    _inflow,
    drive,
)

from .streams import DONE, PLAIN, ROLE, Chat, delta, event
from .stub import HEAD, Exchange, Script, Stub, StubServer, answer, http_chunk, plain

MS = 1_000_000


def requests(count: int, due_s: float = 0.0) -> list[Asked]:
    return [Asked(n, due_s=n * due_s, messages=(Message("user", "hi"),), max_tokens=4) for n in range(count)]


def one(url: str, **more: Any) -> Served:
    return drive(Chat(), Service(url, **more), requests(1), Load.read("together")).requests[0]


def failure(served: Served) -> str:
    assert served.failure is not None
    return str(served.failure)


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class Shortens(Chat):
    """An endpoint that asks less than it was told to."""

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        return {**super().body(asked, service, stream), "messages": [{"role": "user", "content": "hi"}]}


def test_an_endpoint_that_shortens_a_prompt_is_refused_before_anything_is_sent(closed_port: int) -> None:
    long = Asked(0, messages=(Message("user", 'hi, "you"\n→'),), max_tokens=4)
    service = Service(f"http://127.0.0.1:{closed_port}")
    with pytest.raises(ServiceError, match="body of request 0 does not hold its prompt"):
        drive(Shortens(), service, [long], Load.read("together"))
    with pytest.raises(ServiceError, match="mend the endpoint's body, or the extra fields"):
        drive(Chat(), Service(service.url, extra={"messages": []}), [long], Load.read("together"))
    with pytest.raises(ServiceError, match="does not ask for 4 tokens"):
        drive(Chat(), Service(service.url, extra={"max_tokens": 44}), [long], Load.read("together"))
    kinds = drive(Chat(), service, [long], Load.read("together")).failures
    assert kinds == {"refused": 1}


def test_a_connection_that_is_refused(closed_port: int) -> None:
    said = failure(one(f"http://127.0.0.1:{closed_port}"))
    assert said == f"refused: nothing listens at http://127.0.0.1:{closed_port}; start the server, or mend the address"


def test_a_host_that_is_not_there() -> None:
    assert failure(one("http://attnlab.invalid")).startswith("unreachable: the host's name at http://attnlab.invalid ")


async def reset(exchange: Exchange) -> None:
    await exchange.stream(PLAIN[:3], end=False)
    await asyncio.sleep(0.02)
    exchange.reset()


async def reset_at_once(exchange: Exchange) -> None:
    exchange.writer.write(HEAD + b"".join(map(http_chunk, PLAIN[:3])))
    exchange.reset()


async def closed(exchange: Exchange) -> None:
    await exchange.stream(PLAIN[:3], end=False)
    exchange.writer.close()


async def closed_before(exchange: Exchange) -> None:
    exchange.writer.close()


async def ended_early(exchange: Exchange) -> None:
    await exchange.stream(PLAIN[:3])


async def until_the_end(exchange: Exchange) -> None:
    """As HTTP 1.0 has it: the body ends with the connection."""
    await exchange.send(HEAD.replace(b"Transfer-Encoding: chunked\r\n", b"") + b"".join(PLAIN[:3]))
    exchange.writer.close()


@pytest.mark.parametrize(
    ("script", "begins", "tokens"),
    [
        (reset, "disconnected: the connection at", 2),
        (closed, "disconnected: the connection at", 2),
        (closed_before, "disconnected: the connection at", 0),
        (ended_early, "cut: the stream ended after 2 pieces", 2),
        (until_the_end, "cut: the stream ended after 2 pieces", 2),
    ],
)
def test_a_connection_that_ends_in_mid_stream(stub: Stub, script: Script, begins: str, tokens: int) -> None:
    served = one(stub.serve(script.__name__, script))
    assert failure(served).startswith(begins)
    assert served.tokens == tokens, "what came is kept"
    assert served.request_log().chunks == (), "and is in no latency"
    assert one(stub.serve("after")).failure is None


def test_a_reset_behind_the_bytes_is_told(stub: Stub) -> None:
    assert failure(one(stub.serve("reset_at_once", reset_at_once))).startswith("disconnected: ")


def test_an_end_without_its_mark_is_no_failure_once_the_answer_has_ended(stub: Stub) -> None:
    async def abrupt(exchange: Exchange) -> None:
        await exchange.stream(PLAIN[:4], end=False)
        await asyncio.sleep(0.01)
        exchange.reset()

    served = one(stub.serve("abrupt", abrupt))
    assert (served.failure, served.finish_reason, served.done) == (None, "length", False)


@pytest.mark.parametrize("upto", [None, 0, 3])
def test_a_hang_ends_at_the_time_limit(stub: Stub, upto: int | None) -> None:
    async def hang(exchange: Exchange) -> None:
        if upto is not None:
            await exchange.stream(PLAIN[:upto], end=False)
        await asyncio.sleep(2)

    begun = time.monotonic()
    served = one(stub.serve("hang", hang), timeout_s=0.1)
    assert time.monotonic() - begun < 1
    came = f"{upto - 1} pieces" if upto else "no piece"
    assert failure(served).startswith(f"timeout: no whole answer within 0.1 s: {came} of the answer had come")
    assert served.ended_ns - served.begun_ns >= 100 * MS


def test_a_body_that_stays_open_behind_the_end_of_the_answer_is_not_waited_for(stub: Stub) -> None:
    async def lingering(exchange: Exchange) -> None:
        await exchange.stream(PLAIN, end=False)
        await asyncio.sleep(2)

    served = one(stub.serve("lingering", lingering))
    assert served.failure is None
    assert served.ended_ns == served.arrivals.times_ns[-1]


def test_a_connection_that_stays_open_does_not_undo_an_answer(stub: Stub) -> None:
    async def open_ended(exchange: Exchange) -> None:
        await exchange.stream(PLAIN[:4], end=False)
        await asyncio.sleep(2)

    served = one(stub.serve("open_ended", open_ended), timeout_s=0.1)
    assert (served.failure, served.finish_reason, served.done) == (None, "length", False)
    assert served.ended_ns == served.arrivals.times_ns[-1]


def test_an_error_whose_text_never_comes_is_told_by_its_status(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nout of")
        await asyncio.sleep(2)

    monkeypatch.setattr(_asking, "ERROR_S", 0.05)
    assert failure(one(stub.serve("silent_error", silent))).startswith("http_500: 500 Internal Server Error: out of; ")


def test_a_queue_for_the_only_socket_is_bounded_too(stub: Stub) -> None:
    async def hang(exchange: Exchange) -> None:
        await asyncio.sleep(0.3)

    service = Service(stub.serve("queue", hang), sockets=1, timeout_s=0.1)
    log = drive(Chat(), service, requests(2), Load.read("together"))
    assert log.failures == {"timeout": 2}
    assert "was not sent" in failure(log.requests[1])


def test_no_secure_connection_to_a_plain_server(stub: Stub) -> None:
    said = failure(one(stub.serve("tls").replace("http:", "https:"), timeout_s=2))
    assert said.startswith("tls: no secure connection at https://127.0.0.1:")
    assert "one of https" in said


def test_a_certificate_that_nobody_vouches_for(stub: Stub, certificate: Path) -> None:
    url = f"https://127.0.0.1:{stub.secure_port}/secure"
    stub.serve("secure")
    said = failure(one(url))
    assert said.startswith("tls: no secure connection")
    assert "ca_file" in said
    assert one(url, verify_tls=False).text == "Hello"
    trusted = one(url, ca_file=str(certificate))
    assert (trusted.failure, trusted.text) == (None, "Hello")
    assert stub.asked["secure"][0].number == 0, "nothing was sent before the certificate was right"
    assert len(stub.asked["secure"]) == 2


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            "401 Unauthorized",
            b'{"error": {"message": "Incorrect key"}}',
            "http_401",
            "Incorrect key; name the environment",
        ),
        ("403 Forbidden", b"no", "http_403", "403 Forbidden: no; name the environment"),
        ("404 Not Found", b'{"detail": "no such model"}', "http_404", "no such model; check the address"),
        (
            "400 Bad Request",
            b'{"object": "error", "message": "too long"}',
            "http_400",
            "too long; check the request's fields",
        ),
        (
            "429 Too Many Requests",
            b"",
            "http_429",
            "429 Too Many Requests; it asks to wait 7 s; ask for less at a time",
        ),
        ("500 Internal Server Error", b"<html>\n<b>oops</b>", "http_500", "<html> <b>oops</b>; see the server's log"),
        ("502 Bad Gateway", b"\xff\xfe", "http_502", "see the server's log"),
        (
            "307 Temporary Redirect",
            b"",
            "http_307",
            "redirects are not followed, to http://elsewhere/; give that address",
        ),
        ("204 No Content", b"", "unreadable", "got '', which is no JSON"),
        ("599 Odd", b"", "http_599", "599; see the server's log"),
    ],
)
def test_a_status_that_is_no_success(stub: Stub, status: str, body: bytes, kind: str, words: str) -> None:
    async def refuse(exchange: Exchange) -> None:
        more = {"Retry_After": "7"} if status.startswith("429") else {"Location": "http://elsewhere/"}
        await exchange.send(answer(status, body, **more))

    served = one(stub.serve("status", refuse))
    assert failure(served).startswith(f"{kind}: ")
    assert words in failure(served)
    assert served.status == int(status[:3])
    assert len(stub.asked["status"]) == 1


def test_a_date_to_wait_for_is_by_the_servers_clock(stub: Stub) -> None:
    async def dated(exchange: Exchange) -> None:
        dates = {"Date": "Tue, 03 Jan 2090 10:00:00 GMT", "Retry_After": "Tue, 03 Jan 2090 10:00:04 GMT"}
        await exchange.send(answer("503 Service Unavailable", b"", **dates))

    assert "it asks to wait 4 s" in failure(one(stub.serve("dated", dated)))


@pytest.mark.parametrize("stream", [True, False])
def test_html_instead_of_json(stub: Stub, stream: bool) -> None:
    async def html(exchange: Exchange) -> None:
        await exchange.send(answer("200 OK", b"<!doctype html><title>Sign in</title>", "text/html; charset=utf-8"))

    service = Service(stub.serve("html", html))
    served = drive(Chat(), service, requests(1), Load.read("together"), stream=stream).requests[0]
    assert failure(served).startswith("unreadable: got text/html that begins with '<!doctype html><title>Sign in")


@pytest.mark.parametrize(
    ("kind", "body"), [("application/json", b"<html>"), ("application/json", b""), ("text/plain", b"hi")]
)
def test_what_is_no_json_though_it_says_so(stub: Stub, kind: str, body: bytes) -> None:
    async def wrong(exchange: Exchange) -> None:
        await exchange.send(answer("200 OK", body, kind))

    service = Service(stub.serve("wrong", wrong))
    served = drive(Chat(), service, requests(1), Load.read("together"), stream=False).requests[0]
    assert failure(served).startswith("unreadable: got ")


@pytest.mark.parametrize(
    ("sent", "begins"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "protocol: what came"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n", "protocol: what came"),
        (HEAD + b"zz\r\nhello\r\n", "protocol: what came"),
        (
            HEAD.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer") + http_chunk(b"no gzip"),
            "protocol: what came",
        ),
    ],
    ids=["ssh", "long header", "chunk size", "gzip"],
)
def test_what_is_no_http(stub: Stub, sent: bytes, begins: str) -> None:
    async def other(exchange: Exchange) -> None:
        await exchange.send(sent)
        await asyncio.sleep(0.5)

    served = one(stub.serve("other", other), timeout_s=5)
    assert failure(served).startswith(begins), failure(served)


async def endless_pieces(exchange: Exchange) -> None:
    await exchange.stream(itertools.repeat(delta(content="a")))  # type: ignore[arg-type]


async def endless_comments(exchange: Exchange) -> None:
    await exchange.stream(itertools.repeat(b": still here\n\n" * 500))  # type: ignore[arg-type]


async def gigantic_chunk(exchange: Exchange) -> None:
    await exchange.send(HEAD + b"7fffffff\r\ndata: ")
    for _ in range(2048):
        await exchange.send(b"x" * (1 << 20))


async def gigantic_event(exchange: Exchange) -> None:
    await exchange.stream(itertools.repeat(b"data: " + b"x" * 60_000 + b"\n"))  # type: ignore[arg-type]


async def gigantic_whole(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n")
    while True:
        await exchange.send(b'"' + b"x" * (1 << 20))


async def bomb(exchange: Exchange) -> None:
    """64 MiB of an event in some kilobytes."""
    await exchange.send(HEAD.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer"))
    await exchange.send(http_chunk(gzip.compress(b"data: " + bytes(64 << 20))))
    await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("script", "begins"),
    [
        (endless_pieces, "endless: got more than 96 pieces"),
        (endless_comments, "too_large: got an answer of more than 1 MiB"),
        (gigantic_chunk, "too_large: got an event of"),
        (gigantic_event, "too_large: got an event of"),
        (gigantic_whole, "too_large: got an answer of more than 1 MiB"),
        (bomb, "too_large: "),
    ],
)
def test_what_has_no_end_is_bounded(stub: Stub, script: Script, begins: str) -> None:
    before = psutil.Process().memory_info().rss
    served = one(
        stub.serve(script.__name__, script),
        timeout_s=10,
        compression=True,
        limits=Limits(event_bytes=1 << 18, answer_bytes=1 << 20),
    )
    assert failure(served).startswith(begins)
    assert psutil.Process().memory_info().rss - before < 160 << 20
    assert one(stub.serve("after")).failure is None


def test_a_compressed_stream_is_read(stub: Stub) -> None:
    async def zipped(exchange: Exchange) -> None:
        assert "accept-encoding: gzip" in exchange.head.lower()
        await exchange.send(HEAD.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer"))
        await exchange.send(http_chunk(gzip.compress(b"".join(PLAIN))) + b"0\r\n\r\n")

    assert one(stub.serve("zipped", zipped), compression=True).text == "Hello"


def test_hints_before_the_answer_are_none_of_it(stub: Stub) -> None:
    async def hinting(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await asyncio.sleep(0.03)
        await plain(exchange)

    served = one(stub.serve("hinting", hinting))
    assert (served.failure, served.text, served.status) == (None, "Hello", 200)
    assert (served.headers_ns or 0) - (served.sent_ns or 0) > 25 * MS


@pytest.mark.filterwarnings("error")
def test_a_large_request_is_sent_and_one_too_large_is_told(stub: Stub) -> None:
    async def refusing(exchange: Exchange) -> None:
        await exchange.send(answer("413 Content Too Large", b'{"error": "too long"}'))

    asked = [Asked(0, messages=(Message("user", "x" * (3 << 20)),))]
    (served,) = drive(Chat(), Service(stub.serve("large")), asked, Load.read("together")).requests
    assert (served.failure, len(stub.asked["large"][0].body) > 3 << 20) == (None, True)
    (served,) = drive(Chat(), Service(stub.serve("refusing", refusing)), asked, Load.read("together")).requests
    assert failure(served).startswith("http_413: ")


def test_bytes_that_are_no_utf8(stub: Stub) -> None:
    async def bad(exchange: Exchange) -> None:
        await exchange.stream([ROLE, delta(content="a"), delta(content="b").replace(b'"b"', b'"\xc3\x28"'), DONE])

    served = one(stub.serve("bad", bad))
    assert failure(served).startswith("encoding: got 1 byte 0xc3 that are no UTF-8")
    assert served.text == "a"


def test_an_error_in_mid_stream(stub: Stub) -> None:
    async def giving_up(exchange: Exchange) -> None:
        await exchange.stream([ROLE, delta(content="a"), event({"error": {"message": "out of pages"}})])

    assert failure(one(stub.serve("giving_up", giving_up))).endswith("told an error in mid-stream: out of pages")


def test_a_server_that_restarts() -> None:
    """Those that it cannot serve fail, those before and after are served, and each is there once."""
    server = StubServer()
    url, port = server.stub.serve("up"), server.stub.port
    again: list[StubServer] = []

    def restart(what: str, number: int) -> None:
        if (what, number) == ("begun", 4):
            server.close()
        if (what, number) == ("begun", 10):
            again.append(StubServer(port=port))
            again[0].stub.serve("up")

    try:
        log = drive(Chat(), Service(url), requests(16, due_s=0.02), Load.read("fixed:50"), on_event=restart)
    finally:
        for one_more in again:
            one_more.close()
    assert [served.number for served in log.requests] == list(range(16))
    failed = [served.number for served in log.requests if served.failure is not None]
    assert set(log.failures) <= {"refused", "disconnected"}
    assert {5, 6, 7, 8, 9} <= {*failed} <= {*range(3, 13)}
    served = len(server.stub.asked["up"]) + len(again[0].stub.asked["up"])
    assert 16 - len(failed) <= served <= 16


def test_a_step_of_the_wall_clock_changes_nothing(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = itertools.cycle([0.0, 1e9, -1e9])
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + next(steps))
    log = drive(Chat(), Service(stub.serve("step"), timeout_s=5), requests(5, due_s=0.01), Load.read("fixed:100"))
    assert log.failures == {}
    assert [served.due_ns for served in log.requests] == [n * 10 * MS for n in range(5)]
    assert all(served.due_ns <= served.ended_ns < 5_000 * MS for served in log.requests)


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(url: str, processes: int, on_event: Callable[[str, int], None] | None = None) -> ServedLog:
    asked = [*requests(12, due_s=0.004), Asked(12, messages=(Message("user", "x"),), after=0, think_s=60)]
    return drive(Chat(), Service(url), asked, Load.read("fixed:250"), processes=processes, on_event=on_event)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_a_load_and_keeps_what_came(stub: Stub, processes: int) -> None:
    async def interrupting(exchange: Exchange) -> None:
        if exchange.number == 8:
            await asyncio.sleep(0.25)  # by then the client has read what came before
            os.kill(os.getpid(), signal.SIGINT)
        if exchange.number < 5:
            await plain(exchange)
        else:
            await exchange.stream(PLAIN[:2], end=False)
            await asyncio.sleep(1)

    begun = time.monotonic()
    log = interrupted(stub.serve("interrupting", interrupting), processes)
    assert time.monotonic() - begun < 5
    assert log.interrupted
    numbers = [served.number for served in log.requests]
    assert numbers == sorted({*numbers})
    assert {*numbers} | {*log.unsent} == {*range(13)}
    assert not {*numbers} & {*log.unsent}
    assert 12 in log.unsent
    answered = [served for served in log.requests if served.failure is None]
    assert len(answered) == 5
    assert log.failures == {"interrupted": len(numbers) - 5}
    assert any(served.tokens == 1 for served in log.requests), "pieces that came are kept"
    assert psutil.Process().children() == []


def test_a_flood_that_is_read_slowly_is_kept_back(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has read yet is bounded, and all of it comes in order in the end."""
    most, waiting = 200_000, [0]
    put = _inflow.Desk.put

    def watched(desk: _inflow.Desk, inflow: _inflow.Inflow, data: bytes | None, at_ns: int) -> None:
        waiting.append(inflow._waiting_bytes)
        put(desk, inflow, data, at_ns)

    monkeypatch.setattr(_inflow, "MOST_WAITING_BYTES", most)
    monkeypatch.setattr(_inflow.Desk, "put", watched)

    class Slow(Chat):
        def read_event(self, data: str) -> Part:
            time.sleep(0.001)
            return super().read_event(data)

    pieces = [f"{number:05}{'x' * 40_000}" for number in range(60)]

    async def flood(exchange: Exchange) -> None:
        await exchange.stream([*(delta(content=piece) for piece in pieces), delta("stop"), DONE])

    service = Service(stub.serve("flood", flood))
    served = drive(Slow(), service, requests(1), Load.read("together")).requests[0]
    assert served.failure is None
    assert served.text == "".join(pieces)
    assert most < max(waiting) < most + (1 << 20)
    assert list(served.arrivals.times_ns) == sorted(served.arrivals.times_ns)
