"""Who goes away, is slow or comes too often takes nothing from the others; and the server ends when it is told to."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from typing import Any

import pytest

from attnlab.bench.server.settings import ServerLimits

from .conftest import CONTEXT, WAIT_S, Running, Start, read_answer

LONG: dict[str, Any] = {"prompt": "Hello", "max_tokens": CONTEXT - 8, "temperature": 1, "seed": 1, "ignore_eos": True}
"""An answer that takes a while."""


def first_piece(made: socket.socket) -> bytes:
    received = b""
    while b"data: " not in received:
        received += made.recv(4096)
    return received


def test_who_goes_away_is_forgotten(start: Start) -> None:
    """Streamed or whole, running or waiting: what a request holds is free before its answer would have ended."""
    toy = start(batch=1)
    streamed = toy.send("/v1/completions", {**LONG, "stream": True})
    first_piece(streamed)
    waiting = [toy.send("/v1/completions", {**LONG, "stream": stream}) for stream in (True, False)]
    toy.wait_until(lambda: toy.service.engine.counters.waiting == 2)
    assert toy.service.engine.counters.used_pages > 0
    for one in (waiting[0], streamed, waiting[1]):
        one.close()
    toy.wait_until(lambda: toy.service.engine.counters.running == toy.service.engine.counters.waiting == 0)
    counters = toy.service.engine.counters
    assert counters.used_pages == 0
    assert toy.service.engine.open == 0
    assert counters.answer_tokens < CONTEXT - 8
    assert toy.complete().status == 200


def test_who_waits_beyond_the_bound_is_told_to_come_back(start: Start) -> None:
    toy = start(ServerLimits(waiting=2, grace_s=1.0), batch=1)
    running = toy.send("/v1/completions", {**LONG, "stream": True})
    first_piece(running)
    waiting = [toy.send("/v1/completions", {**LONG, "stream": True}) for _ in range(2)]
    toy.wait_until(lambda: toy.service.engine.counters.waiting == 2)
    refused = toy.complete()
    assert (refused.status, refused.error["code"]) == (429, "too_many_requests")
    assert refused.error["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) >= 1
    for one in (running, *waiting):
        one.close()
    toy.wait_until(lambda: toy.service.engine.open == 0)
    assert toy.complete().status == 200


def test_a_slow_reader_holds_nobody_up_and_is_dropped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is longer than all buffers on the way; others are served meanwhile."""
    monkeypatch.setattr("attnlab.bench.server.running.SEND_BYTES", 4096)
    toy = start(ServerLimits(write_s=0.3, grace_s=1.0), batch=4)
    slow = toy.connect(receive_bytes=4096)
    body = json.dumps({**LONG, "stream": True, "logprobs": 20}).encode()
    slow.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: toy\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    toy.wait_until(lambda: toy.service.engine.open == 1)
    assert toy.complete(max_tokens=4).status == 200
    toy.wait_until(lambda: toy.service.engine.open == 0)
    assert toy.service.engine.counters.answer_tokens < LONG["max_tokens"], "its answer was given up"
    assert b"[DONE]" not in read_rest(slow)


def test_pieces_come_as_they_are_made(start: Start) -> None:
    toy = start()
    made = toy.send("/v1/completions", {**LONG, "stream": True})
    begun = time.perf_counter()
    first_piece(made)
    first_s = time.perf_counter() - begun
    read_rest(made)
    assert first_s < (time.perf_counter() - begun) / 2


def read_rest(made: socket.socket) -> bytes:
    return b"".join(iter(lambda: made.recv(65536), b""))


def test_metrics_count_what_was_served(start: Start) -> None:
    toy = start()
    before = toy.metrics()
    assert before["attnlab_requests_running"] == before["attnlab_generation_tokens_total"] == 0
    prompt = "m" * 40
    for _ in range(2):
        assert toy.complete(prompt=prompt, max_tokens=5, ignore_eos=True).status == 200
    assert toy.complete(temperature=9).status == 400
    after = toy.metrics()
    assert after["attnlab_generation_tokens_total"] == 10
    assert after["attnlab_prompt_tokens_total"] == 80
    assert after["attnlab_cached_prompt_tokens_total"] == 32
    assert after["attnlab_time_to_first_token_seconds_count"] == 2
    assert after["attnlab_inter_token_latency_seconds_count"] == 8
    assert after["attnlab_request_duration_seconds_count"] == 2
    assert after["attnlab_cache_pages"] == toy.service.engine.limits.pages
    assert after["attnlab_cache_usage_ratio"] == 0
    whole = toy.ask("/metrics").body.decode()
    assert 'attnlab_requests_total{finish_reason="length"} 2.0' in whole
    assert 'attnlab_refused_total{status="400"} 1.0' in whole


def test_an_engine_that_fails_ends_the_server_and_tells_who_waits(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    toy = start()

    def fails() -> None:
        raise RuntimeError("a secret at /root/engine.py")

    monkeypatch.setattr(toy.service.engine._engine, "step", fails)
    answer = toy.complete()
    assert answer.status == 500
    assert "secret" not in answer.error["message"]
    assert "a secret at /root/engine.py" in capfd.readouterr().err, "its log says why"
    toy.wait_until(lambda: is_closed(toy))
    assert toy.service.engine.failed


def is_closed(toy: Running) -> bool:
    try:
        toy.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_is_under_way_is_ended_with_words(start: Start) -> None:
    """Who asks while the server ends is refused; who was there is given the time that there is."""
    toy = start(ServerLimits(grace_s=0.2), batch=1)
    step, slowly = toy.service.engine._engine.step, threading.Event()

    def slow_step() -> object:
        slowly.wait(0.02)
        return step()

    toy.service.engine._engine.step = slow_step  # type: ignore[method-assign,assignment]
    streamed = toy.send("/v1/completions", {**LONG, "stream": True})
    first_piece(streamed)
    waiting = toy.send("/v1/completions", LONG)
    kept = toy.connect()
    toy.wait_until(lambda: toy.service.engine.open == 2)
    toy.service.engine.ended()
    rest = read_rest(streamed)
    assert b'"code":"answer_failed"' in rest
    assert b"the server is ending" in rest
    answer = read_answer(waiting)
    assert (answer.status, answer.error["message"]) == (500, "the server is ending")
    assert kept.recv(1) == b""
    toy.wait_until(lambda: is_closed(toy))
    assert WAIT_S > 0.2


def test_a_crowd_of_which_half_goes_away_changes_no_answer(start: Start) -> None:
    """In the head, in the body, while waiting and in mid-stream: nothing is left behind, and the others' tokens are
    those that each has alone, though pages are few."""
    toy = start(batch=3, pages=CONTEXT // 16 + 2)
    asked = [{"prompt": f"text {n} " * 6, "max_tokens": 12, "temperature": 0, "ignore_eos": True} for n in range(4)]
    alone = [toy.ask("/v1/completions", {**one, "return_token_ids": True}).json["choices"][0] for one in asked]
    kept, gone = [], []
    for number in range(48):
        body = {**asked[number % 4], "return_token_ids": True, "stream": number % 3 == 0}
        if number % 2:
            kept.append((number, toy.send("/v1/completions", {**body, "stream": False})))
        elif number % 8 == 0:
            gone.append(toy.connect())
            gone[-1].sendall(
                b"POST /v1/completions HTTP/1.1\r\nhost: toy\r\ncontent-length: 99\r\n\r\n{"[: 40 + number]
            )
        else:
            gone.append(toy.send("/v1/completions", body))
    for one in gone:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it ends by a reset
        one.close()
    for number, one in kept:
        choice = read_answer(one).json["choices"][0]
        assert choice["token_ids"] == alone[number % 4]["token_ids"]
        assert choice["text"] == alone[number % 4]["text"]
    toy.wait_until(lambda: toy.service.engine.open == 0 and toy.service.engine.counters.used_pages == 0)
    assert toy.complete().status == 200
