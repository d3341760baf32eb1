"""A key reaches the server and nothing else: it is planted in every way that a request can go wrong."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import warnings
from collections.abc import Iterator

import pytest

from attnlab.bench.serving import Asked, Load, Message, Retries, ServedLog, Service, drive

from .streams import DONE, ROLE, Chat, delta, event
from .stub import HEAD, Exchange, Script, Stub, answer, http_chunk, plain

SECRET = "sk-planted/0123456789+abcdef"
VARIABLE = "ATTNLAB_TEST_KEY"
FORMS = (SECRET, "planted", base64.b64encode(SECRET.encode()).decode()[:24])


def echo(exchange: Exchange) -> str:
    """The key as the server got it."""
    line = next(line for line in exchange.head.splitlines() if line.lower().startswith("authorization:"))
    return line.partition(": ")[2]


async def unauthorised(exchange: Exchange) -> None:
    await exchange.send(answer("401 Unauthorized", b'{"error": {"message": "wrong key %b"}}' % echo(exchange).encode()))


async def oops(exchange: Exchange) -> None:
    await exchange.send(answer("500 Oops", f"<html>{exchange.head}</html>".encode(), "text/html"))


async def encoded(exchange: Exchange) -> None:
    await exchange.send(answer("400 Bad Request", base64.b64encode(echo(exchange).encode())))


async def redirect(exchange: Exchange) -> None:
    await exchange.send(answer("302 Found", b"", Location=f"http://elsewhere/?token={SECRET.replace('/', '%2F')}"))


async def reason(exchange: Exchange) -> None:
    await exchange.send(f"HTTP/1.1 418 {echo(exchange)}\r\nContent-Length: 0\r\n\r\n".encode())


async def page(exchange: Exchange) -> None:
    await exchange.send(answer("200 OK", exchange.head.encode(), "text/html"))


async def middle(exchange: Exchange) -> None:
    await exchange.stream([ROLE, event({"error": {"message": f"key {echo(exchange)} is spent"}})])


async def unreadable(exchange: Exchange) -> None:
    await exchange.stream([ROLE, event(f"no JSON but {echo(exchange)}")])


async def no_utf8(exchange: Exchange) -> None:
    await exchange.stream([ROLE, b"data: " + echo(exchange).encode() + b"\xff\n\n"])


async def parrot(exchange: Exchange) -> None:
    """The model answers with the key, parted between chunks."""
    key = echo(exchange)
    pieces = [delta(content=key[:12]), delta(content=key[12:]), delta(reasoning=key), delta(key)]
    await exchange.stream([ROLE, *pieces, event({"model": key, "choices": []}), DONE])


async def no_http(exchange: Exchange) -> None:
    await exchange.send(f"{echo(exchange)}\r\n\r\n".encode())


async def bad_head(exchange: Exchange) -> None:
    await exchange.send(f"HTTP/1.1 200 OK\r\n{echo(exchange)}\r\n\r\n".encode())


async def bad_chunk(exchange: Exchange) -> None:
    await exchange.send(HEAD + http_chunk(ROLE) + echo(exchange).encode() + b"\r\n")
    await asyncio.sleep(0.2)


async def closing(exchange: Exchange) -> None:
    exchange.writer.close()


async def resetting(exchange: Exchange) -> None:
    await exchange.stream([ROLE, delta(content=echo(exchange))], end=False)
    await asyncio.sleep(0.01)
    exchange.reset()


async def hanging(exchange: Exchange) -> None:
    await exchange.stream([ROLE, delta(content=echo(exchange))], end=False)
    await asyncio.sleep(0.5)


async def broken_json(exchange: Exchange) -> None:
    await exchange.send(answer("200 OK", echo(exchange).encode()))


SCRIPTS = [
    plain,
    unauthorised,
    oops,
    encoded,
    redirect,
    reason,
    page,
    middle,
    unreadable,
    no_utf8,
    parrot,
    no_http,
    bad_head,
    bad_chunk,
    closing,
    resetting,
    hanging,
    broken_json,
]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The key in the environment, with asyncio in its debug mode, and all that is logged or warned of caught."""
    monkeypatch.setenv(VARIABLE, SECRET)
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("always")
        yield


def told(log: ServedLog, service: Service) -> str:
    """All that anybody may write down of a load."""
    failures = [str(one.failure) + "".join(map(str, one.retried)) for one in log.requests]
    logs = [repr(one.request_log()) for one in log.requests]
    return "\n".join([repr(log), repr(service), str(service), *failures, *logs, pickle.dumps(log, 0).decode("latin-1")])


def ask(service: Service, processes: int = 1) -> ServedLog:
    asked = [Asked(n, messages=(Message("user", "hi"),)) for n in range(processes)]
    return drive(Chat(), service, asked, Load.read("together"), processes=processes)


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_key_is_told_by_no_failure(
    stub: Stub, script: Script, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"key_{script.__name__}"
    service = Service(
        stub.serve(name, script),
        key_env=VARIABLE,
        timeout_s=0.2,
        retries=Retries(1, ("http_401", "disconnected"), first_s=0),
    )
    log = ask(service)
    out, err = capfd.readouterr()
    everything = told(log, service) + out + err + caplog.text
    assert not [form for form in FORMS if form in everything]
    assert echo(stub.asked[name][0]) == f"Bearer {SECRET}", "the server got it"
    assert (log.requests[0].failure is None) is (script in (plain, parrot))


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:{plain}/tls", "http://attnlab.invalid"])
def test_a_key_is_told_by_no_connection_that_fails(
    stub: Stub, url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    service = Service(url.format(plain=stub.port), key_env=VARIABLE, timeout_s=2)
    log = ask(service)
    assert log.requests[0].failure is not None
    out, err = capfd.readouterr()
    assert not [form for form in FORMS if form in told(log, service) + out + err + caplog.text]


@pytest.mark.usefixtures("planted")
def test_a_key_goes_to_several_processes_and_comes_from_none(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    service = Service(stub.serve("key_shared", unauthorised), key_env=VARIABLE)
    log = ask(service, processes=2)
    assert log.failures == {"http_401": 2}
    assert not [form for form in FORMS if form in told(log, service) + "".join(capfd.readouterr())]
    assert {echo(one) for one in stub.asked["key_shared"]} == {f"Bearer {SECRET}"}


@pytest.mark.usefixtures("planted")
def test_a_fault_of_the_endpoint_does_not_tell_it(stub: Stub) -> None:
    class Leaking(Chat):
        def read_event(self, data: str) -> object:  # type: ignore[override]
            raise RuntimeError(f"with {SECRET}")

    service = Service(stub.serve("key_leak"), key_env=VARIABLE)
    log = drive(Leaking(), service, [Asked(0, prompt="x")], Load.read("together"))  # type: ignore[arg-type]
    assert log.failures == {"client": 1}
    assert "planted" not in told(log, service)


@pytest.mark.usefixtures("planted")
def test_a_key_may_go_in_a_header_of_another_name(stub: Stub) -> None:
    service = Service(stub.serve("key_named"), key_env=VARIABLE, key_header="api-key")
    assert ask(service).failures == {}
    head = stub.asked["key_named"][0].head.lower()
    assert f"api-key: {SECRET.lower()}\r\n" in head
    assert "authorization" not in head
