"""How many streams one process of the client can follow before its times of arrival are off, beside a peer's client.

    python benchmarks/client_capacity.py [--clients attnlab,openai,httpx] [--streams 16,64] [--groups 1] [--rounds 3]

A stub server, a process of its own, sends each stream a token at a known schedule: to all streams in the same step, as
a server that batches does, or to so many groups of them in turn, as several servers behind one address do. Each token's
text is the time at which it was written to the socket. The error of an arrival is how much later the client says that
it came; loopback's own delay is part of it. A load is sustained where p99 of the error is 1 ms at most, in the median
of the rounds. Clients take turns at each load, each in a fresh process. `openai` is AsyncOpenAI of that package, timed
where its `async for` gives a chunk; `httpx` its lines, timed in the same way. Both are the way to time a stream that
their users have, and need `pip install openai`. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from attnlab.bench import units
from attnlab.bench.serving._loop import new_loop

LIMIT_NS = units.NS_PER_MS
DIGITS = 20
TOKEN = '{"id":"c","object":"chat.completion.chunk","created":0,"model":"stub","choices":[{"index":0,"delta":%s}]}'
FIRST = TOKEN % '{"role":"assistant","content":""}'
PIECE = TOKEN % ('{"content":"%0' + str(DIGITS) + 'd"}')
LAST = TOKEN.replace("}]}", ',"finish_reason":"length"}]}') % "{}"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Taken:
    """What one client did in one round. flagged: whether it said of itself that it was held up."""

    tokens: int
    elapsed_s: float
    error_p50_ns: float
    error_p99_ns: float
    error_max_ns: float
    processor_s: float
    flagged: bool | None = None


# --- the stub -----------------------------------------------------------------------------------------------------


def http_chunk(data: str) -> bytes:
    body = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


def serve(rate: float, tokens: int, groups: int) -> None:
    """Answer every request with so many tokens, one each 1/rate seconds, to one group of streams after another; prints
    its port."""
    piece = http_chunk(PIECE % 0).replace(b"0" * DIGITS, b"%0" + str(DIGITS).encode() + b"d")
    end = http_chunk(LAST) + http_chunk("[DONE]") + b"0\r\n\r\n"
    running: list[dict[asyncio.Transport, int]] = [{} for _ in range(groups)]
    numbers = itertools.cycle(range(groups))

    class Stream(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.got, self.group = transport, b"", running[next(numbers)]

        def data_received(self, data: bytes) -> None:
            self.got += data
            head, found, body = self.got.partition(b"\r\n\r\n")
            size = next(
                (int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")), 0
            )
            if found and len(body) >= size:
                self.got = b""
                self.transport.write(HEAD + http_chunk(FIRST))
                self.group[self.transport] = tokens

        def connection_lost(self, exc: Exception | None) -> None:
            self.group.pop(self.transport, None)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Stream, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        due_ns = time.perf_counter_ns()
        for group in itertools.cycle(running):
            due_ns = max(due_ns + round(units.NS_PER_S / rate / groups), time.perf_counter_ns())
            await asyncio.sleep(units.ns_to_seconds(due_ns - time.perf_counter_ns()))
            for transport, left in list(group.items()):
                transport.write(piece % time.perf_counter_ns())
                group[transport] = left - 1
                if left == 1:
                    transport.write(end)
                    del group[transport]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@contextmanager
def stub(rate: float, tokens: int, groups: int = 1) -> Iterator[str]:
    """The address of a stub in a process of its own."""
    command = [sys.executable, __file__, "--serve", "--rate", str(rate), "--tokens", str(tokens)]
    command += ["--groups", str(groups)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


# --- the clients --------------------------------------------------------------------------------------------------

Errors = list[float]


def attnlab_errors(url: str, streams: int, tokens: int) -> tuple[Errors, bool]:
    """Of our client, with what it says of itself: whether it was held up."""
    from attnlab.bench.serving import Asked, Load, Message, Part, Service, Whole, drive, openai

    class Chat:
        path, identity_path = PATH, None

        def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
            prompt = [{"role": "user", "content": "x"}]
            return {"model": "stub", "messages": prompt, "max_tokens": asked.max_tokens, "stream": stream}

        def read_event(self, data: str) -> Part:
            return openai.read_chat_event(data)

        def read_whole(self, body: bytes) -> Whole:
            return openai.read_chat_whole(body)

    asked = [Asked(n, messages=(Message("user", "x"),), max_tokens=tokens) for n in range(streams)]
    log = drive(Chat(), Service(url), asked, Load.read("together"))
    if log.failures:
        raise SystemExit(f"requests failed: {log.failures}: {next(r.failure for r in log.requests if r.failure)}")
    errors: Errors = []
    for served in log.requests:
        sent = [int(served.text[n : n + DIGITS]) for n in range(0, len(served.text), DIGITS)]
        arrivals = zip(served.arrivals.times_ns, served.arrivals.kinds, strict=True)
        came = [log.begun_ns + time_ns for time_ns, kind in arrivals if kind == "text"]
        errors += [float(b - a) for a, b in zip(sent, came, strict=True)]
    return errors, log.held_up


def openai_errors(url: str, streams: int, tokens: int) -> tuple[Errors, bool | None]:
    from openai import AsyncOpenAI

    async def run() -> Errors:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=600) as client:

            async def follow() -> Errors:
                errors: Errors = []
                stream = await client.chat.completions.create(
                    model="stub", messages=[{"role": "user", "content": "x"}], stream=True
                )
                async for chunk in stream:
                    now_ns = time.perf_counter_ns()
                    text = chunk.choices[0].delta.content
                    if text:
                        errors.append(float(now_ns - int(text)))
                return errors

            return await together(follow, streams)

    return asyncio.run(run()), None


def httpx_errors(url: str, streams: int, tokens: int) -> tuple[Errors, bool | None]:
    import httpx

    async def run() -> Errors:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=600) as client:

            async def follow() -> Errors:
                errors: Errors = []
                body = {"model": "stub", "messages": [{"role": "user", "content": "x"}], "stream": True}
                async with client.stream("POST", url + PATH, json=body) as response:
                    async for line in response.aiter_lines():
                        now_ns = time.perf_counter_ns()
                        if line.startswith("data: {"):
                            text = json.loads(line[6:])["choices"][0]["delta"].get("content")
                            if text:
                                errors.append(float(now_ns - int(text)))
                return errors

            return await together(follow, streams)

    return asyncio.run(run()), None


async def together(follow: Callable[[], Coroutine[Any, Any, Errors]], streams: int) -> Errors:
    return [error for errors in await asyncio.gather(*(follow() for _ in range(streams))) for error in errors]


CLIENTS = {"attnlab": attnlab_errors, "openai": openai_errors, "httpx": httpx_errors}
IMPORTED = {"attnlab": ("attnlab.bench.serving.client", "aiohttp"), "openai": ("openai",), "httpx": ("httpx",)}


def take(client: str, url: str, streams: int, tokens: int) -> Taken:
    """One client, here; the first fifth of each stream is its warm-up."""
    for module in IMPORTED[client]:
        importlib.import_module(module)
    begun_s, processor_s = time.perf_counter(), time.process_time()
    errors, flagged = CLIENTS[client](url, streams, tokens)
    elapsed_s, processor_s = time.perf_counter() - begun_s, time.process_time() - processor_s
    if len(errors) != streams * tokens:
        raise SystemExit(f"{client} saw {len(errors)} tokens of {streams * tokens}")
    kept = sorted(e for n in range(streams) for e in errors[n * tokens + tokens // 5 : (n + 1) * tokens])
    return Taken(
        len(errors), elapsed_s, statistics.median(kept), kept[int(0.99 * len(kept))], kept[-1], processor_s, flagged
    )


def take_apart(client: str, streams: int, rate: float, tokens: int, groups: int) -> Taken:
    """One client in a fresh process, with a fresh stub."""
    with stub(rate, tokens, groups) as url:
        command = [sys.executable, __file__, "--take", client, "--url", url, "--tokens", str(tokens)]
        done = subprocess.run([*command, "--streams", str(streams)], stdout=subprocess.PIPE, text=True, check=True)
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


# --- the table ----------------------------------------------------------------------------------------------------


def line(client: str, streams: int, taken: Sequence[Taken]) -> str:
    def of(name: str) -> float:
        return statistics.median(getattr(one, name) for one in taken)

    p99 = of("error_p99_ns")
    tokens_per_s = statistics.median(one.tokens / one.elapsed_s for one in taken)
    flagged = "–" if taken[0].flagged is None else f"{sum(bool(one.flagged) for one in taken)} of {len(taken)}"
    cells = [
        f"`{client}`",
        str(streams),
        f"{tokens_per_s:,.0f}",
        units.format_time(of("error_p50_ns")),
        units.format_time(p99),
        units.format_time(of("error_max_ns")),
        units.format_time(units.seconds_to_ns(statistics.median(one.processor_s / one.tokens for one in taken))),
        "yes" if p99 <= LIMIT_NS else "no",
        flagged,
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", default="attnlab,openai,httpx")
    parser.add_argument("--streams", default="8,32,64,128,256,512")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of each stream")
    parser.add_argument("--tokens", type=int, default=150, help="of each stream")
    parser.add_argument("--groups", type=int, default=1, help="of streams, each sent to at a time of its own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--take", choices=[*CLIENTS], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.rate, options.tokens, options.groups)
    elif options.take:
        print(json.dumps(asdict(take(options.take, options.url, int(options.streams), options.tokens))))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    clients = options.clients.split(",")
    unknown = {*clients} - {*CLIENTS}
    if unknown:
        raise SystemExit(f"unknown clients {', '.join(sorted(unknown))}; known: {', '.join(CLIENTS)}")
    print(
        f"Streams of {options.rate:g} tokens a second, {options.tokens} tokens each, "
        f"{'all in the same step' if options.groups == 1 else f'in {options.groups} groups, one after another'}; "
        f"{options.rounds} rounds, {os.cpu_count()} cores, Python {sys.version.split()[0]}.\n"
    )
    print(
        "| client | streams | tokens/s | error p50 | error p99 | largest | processor a token | within 1 ms | flagged |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    sustained: dict[str, list[tuple[int, bool]]] = {client: [] for client in clients}
    for streams in map(int, options.streams.split(",")):
        taken: dict[str, list[Taken]] = {client: [] for client in clients}
        for number in range(options.rounds):
            for client in clients[number % len(clients) :] + clients[: number % len(clients)]:
                taken[client].append(take_apart(client, streams, options.rate, options.tokens, options.groups))
        for client in clients:
            print(line(client, streams, taken[client]), flush=True)
            p99 = statistics.median(one.error_p99_ns for one in taken[client])
            sustained[client].append((streams, p99 <= LIMIT_NS))
    print()
    for client, found in sustained.items():
        most = max((streams for streams, kept in found if kept), default=0)
        rate = f"{most * options.rate:,.0f} tokens a second"
        print(f"- `{client}` sustained {most} streams ({rate}) of those tried with p99 within 1 ms.")


if __name__ == "__main__":
    main()
