"""What our server itself costs: CPU of its event loop for each streamed token, and answers by threads of torch.

    python benchmarks/server_cost.py [--model smollm2_135m] [--impl sdpa] [--threads 1,2] [--readers 1,4]

First an engine of nothing but tokens is served to several readers: what the event loop's thread takes then is the cost
of a piece: text, JSON, HTTP and the socket. Then the model is served with each number of threads: tokens a second, the
time to the first token and the gaps, as processes of readers see them. Nothing else may run beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from attnlab.bench.contract.registry import discover_some
from attnlab.bench.llm.generation.live import (
    Beginning,
    FinishReason,
    LiveCounters,
    LiveEvent,
    LiveLimits,
    LiveRequest,
)
from attnlab.bench.server.running import SWITCH_S, Place, listen, server_of
from attnlab.bench.server.service import ServedModel, Service
from attnlab.bench.server.settings import ServerLimits
from attnlab.bench.server.setup import Served, set_up, tokenizer_of
from attnlab.bench.units import NS_PER_MS

TOKENS, READERS = 500, 8  # of the engine of nothing but tokens
ANSWER_TOKENS = 64
PROMPT = "Tell me a story about number"
STEP_S = 0.002
REPEATS = 3


class TokensAlone:
    """A `LiveEngine` that computes nothing: a token of every request each 2 ms."""

    limits = LiveLimits(context_tokens=2**16, sequences=64, pages=2**20, page_tokens=16)

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._told: dict[int, tuple[LiveRequest, int]] = {}

    @property
    def counters(self) -> LiveCounters:
        return LiveCounters(len(self._told), 0, 0, 0, 0, 0, 0)

    @property
    def idle(self) -> bool:
        return not self._told

    def set_up(self) -> None:
        """Nothing."""

    def add(self, request: LiveRequest) -> None:
        self._told[request.id] = request, 0

    def cancel(self, id: int) -> None:
        self._told.pop(id, None)

    def step(self) -> Sequence[LiveEvent]:
        time.sleep(STEP_S)
        return [self._event(*told) for told in list(self._told.values())]

    def _event(self, request: LiveRequest, told: int) -> LiveEvent:
        self._told[request.id] = request, told + 1
        ended = told + 1 == request.max_tokens
        if ended:
            del self._told[request.id]
        beginning = None if told else Beginning(0, 1.0, 1.0, 1.0)
        reason = FinishReason.LENGTH if ended else None
        return LiveEvent(request.id, (1000 + told % 1000 % self._vocab_size,), reason, beginning=beginning)


@dataclass
class Running:
    """Where a server answers; cpu_s: of its loop's thread, once it has ended."""

    place: Place
    cpu_s: float = 0.0


@contextmanager
def running(service: Service) -> Iterator[Running]:
    bound, begun, found = listen("127.0.0.1", 0), threading.Event(), Running(Place("", 0))

    def told(place: Place) -> None:
        found.place = place
        begun.set()

    server = server_of(service, bound, told)

    def run() -> None:
        asyncio.run(server.serve(sockets=[bound]))
        found.cpu_s = time.thread_time()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    yield found
    server.should_exit = True
    thread.join()


@dataclass(frozen=True)
class Read:
    """One streamed answer, in seconds from when it was asked for: when each piece came."""

    times_s: list[float]


def read(place: Place, number: int, tokens: int) -> Read:
    message = {"role": "user", "content": f"{PROMPT} {number}"}
    asked = {"messages": [message], "max_tokens": tokens, "stream": True, "ignore_eos": True, "temperature": 0}
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((place.host, place.port)) as made:
        begun = time.perf_counter()
        made.sendall(head.encode() + body)
        times = []
        while piece := made.recv(2**16):
            if b"data: " in piece:
                times.append(time.perf_counter() - begun)
    return Read(times)


def read_all(place: Place, readers: int, tokens: int) -> list[Read]:
    found: list[Read] = []
    threads = [threading.Thread(target=lambda n=n: found.append(read(place, n, tokens))) for n in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def cost_of_a_piece(model: str) -> float:
    """Seconds of CPU for each streamed token."""
    tokenizer = tokenizer_of(model)
    served = ServedModel("tokens", tokenizer, tokenizer.vocab_size, frozenset(tokenizer.eos_ids), {})
    with running(Service(served, TokensAlone(tokenizer.vocab_size), ServerLimits())) as made:
        read_all(made.place, READERS, TOKENS)
    return made.cpu_s / (READERS * TOKENS)


def served_by(options: argparse.Namespace, threads: int) -> None:
    """A row for each number of readers; they run in a process of their own."""
    registry = discover_some([f"attnlab.impls.generate.{options.impl}"])
    served = Served(options.impl, options.model, batch=max(options.readers), context=256, threads=threads)
    with running(set_up(served, registry.implementations("generate"), ServerLimits())) as made:
        for readers in options.readers:
            for _ in range(REPEATS):
                arguments = ["--read", f"{made.place.host},{made.place.port},{readers}"]
                told = subprocess.run(
                    [sys.executable, __file__, *arguments], capture_output=True, text=True, check=True
                )
                print(f"| {threads} | {readers} | {told.stdout.strip()} |", flush=True)


def tell_read(place: Place, readers: int) -> None:
    begun = time.perf_counter()
    found = read_all(place, readers, ANSWER_TOKENS)
    elapsed = time.perf_counter() - begun
    first = sorted(one.times_s[0] for one in found)[readers // 2]
    gaps = sorted(b - a for one in found for a, b in zip(one.times_s, one.times_s[1:], strict=False))
    in_ms = 1e9 / NS_PER_MS
    figures = (first * in_ms, gaps[len(gaps) // 2] * in_ms, gaps[int(0.95 * len(gaps))] * in_ms)
    print(f"{readers * ANSWER_TOKENS / elapsed:.1f} | " + " | ".join(f"{figure:.1f}" for figure in figures))


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="smollm2_135m")
    parser.add_argument("--impl", default="sdpa")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--readers", type=numbers, default=[1, 4])
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        host, port, readers = options.read.split(",")
        tell_read(Place(host, int(port)), int(readers))
        return
    sys.setswitchinterval(SWITCH_S)
    print(f"{1e6 * cost_of_a_piece(options.model):.0f} µs of CPU for each streamed token, engine apart\n")
    print("| threads | readers | tokens/s | TTFT, ms | gap, median, ms | gap, p95, ms |\n|---|---|---|---|---|---|")
    for threads in options.threads:
        served_by(options, threads)


if __name__ == "__main__":
    main()
