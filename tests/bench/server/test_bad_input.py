"""What is not served gets a status and an error that names what is to blame; and the next request is served."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from attnlab.bench.server.settings import ServerLimits

from .conftest import CONTEXT, Running, Start, parsed, read_answer

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, "temperature": 0}
BODY_BYTES = 200_000


def schema(given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": given}}


@pytest.fixture(scope="module")
def small(start: Start) -> Running:
    return start(ServerLimits(body_bytes=BODY_BYTES, grace_s=1.0))


@pytest.fixture(autouse=True)
def served_afterwards(small: Running) -> Iterator[None]:
    """Whatever was sent, the next one is answered, and nothing is left in the engine."""
    yield
    assert small.ask("/v1/chat/completions", CHAT).status == 200
    small.wait_until(lambda: small.service.engine.open == 0 and small.service.engine.counters.running == 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b'"x"',
        b"\xff\xfe{}",
        b'{"max_tokens": NaN}',
        b'{"max_tokens": 1e999}',
        b"[" * 5000,
        b'{"a":' * 3000,
        b'{"max_tokens": ' + b"9" * 10000 + b"}",
        b"\x00" * 100,
    ],
    ids=map(str, count()),
)
def test_what_is_no_json_object(small: Running, body: bytes) -> None:
    answer = small.ask("/v1/chat/completions", body, method="POST")
    assert answer.status == 400
    assert answer.error["code"] == "invalid_json"
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"messages": None}, "messages", "a list of 1 to"),
        ({"messages": []}, "messages", "a list of 1 to"),
        ({"messages": "hi"}, "messages", "a list of 1 to"),
        ({"messages": [3]}, "messages[0]", "expected an object"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "one of system, user, assistant"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "a string"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", "parts of text"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [1]}]}, "messages[0].tool_calls", "not served"),
        ({"max_tokens": -1}, "max_tokens", "a whole number from 1"),
        ({"max_tokens": 0}, "max_tokens", "a whole number from 1"),
        ({"max_tokens": 1.5}, "max_tokens", "a whole number from 1"),
        ({"max_tokens": True}, "max_tokens", "a whole number from 1"),
        ({"max_tokens": "7"}, "max_tokens", "a whole number from 1"),
        ({"max_tokens": 2**62}, "max_tokens", "a whole number from 1"),
        ({"max_tokens": 10**9}, "messages", "the context that is served"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_completion_tokens", "one of them"),
        ({"temperature": -0.1}, "temperature", "a number from 0 to 2"),
        ({"temperature": "hot"}, "temperature", "a number from 0 to 2"),
        ({"top_p": 1.1}, "top_p", "a number from 0 to 1"),
        ({"top_p": 0}, None, "top_p"),
        ({"top_k": -5}, "top_k", "a whole number from -1"),
        ({"seed": 1.5}, "seed", "a whole number"),
        ({"repetition_penalty": 0}, "repetition_penalty", "a number from 0.01"),
        ({"n": 2}, "n", "n=2 is not served"),
        ({"n": "1"}, "n", "not served"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not served"),
        ({"logit_bias": {"5": 3}}, "logit_bias", "not served"),
        ({"tools": [{"type": "function"}]}, "tools", "not served"),
        ({"stop": [""]}, "stop", "each of 1 to"),
        ({"stop": ["a"] * 17}, "stop", "up to 16"),
        ({"stop": 7}, "stop", "a string or up to"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "with stream=true"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage", "did you mean include_usage"),
        ({"top_logprobs": 3}, "top_logprobs", "without logprobs"),
        ({"logprobs": 3}, "logprobs", "true or false"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "from 0 to 20"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "text, json_object or json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "an object with the schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}},
            "response_format",
            "schema that is not served",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "file:///etc/passwd"}}}},
            "response_format",
            "schema that is not served",
        ),
        ({"response_format": {"type": "json_object"}, "ignore_eos": True}, None, "expected one of them"),
        ({"temprature": 0.5}, "temprature", "unknown field temprature; did you mean temperature?"),
        ({"x" * 500: 1}, "x" * 80, "unknown field"),
        ({"temperature": 10**400}, "temperature", "a number from 0 to 2"),
        ({"response_format": schema({"$ref": "#"})}, "response_format", "schema that is not served"),
        ({"response_format": schema({"type": "integer", "minimum": 5, "maximum": 1})}, "response_format", "Unsatisf"),
        ({"response_format": schema({"enum": ["x" * 9] * 15_000})}, "response_format", "bytes, and at most"),
    ],
    ids=map(str, count()),
)
def test_a_field_that_is_wrong_is_named(small: Running, fields: dict[str, Any], param: str, said: str) -> None:
    answer = small.ask("/v1/chat/completions", {**CHAT, **fields})
    assert answer.status == 400
    assert answer.error["param"] == param
    assert said in answer.error["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": None}, "a string, or a list of token ids"),
        ({"prompt": ["a", "b"]}, "several in one request are not served"),
        ({"prompt": [1, -2]}, "a string, or a list of token ids"),
        ({"prompt": [1, 264]}, "got token id 264; expected 0 to 263"),
        ({"prompt": []}, "a string, or a list of token ids"),
        ({"prompt": ""}, "expected 1 or more"),
        ({"prompt": "x" * CONTEXT}, "the context that is served"),
        ({"prompt": "x" * 64 * CONTEXT + "x"}, "got a prompt of 32769 characters; expected at most 512 tokens"),
        ({"echo": True}, "echo=true is not served"),
        ({"suffix": "end"}, "not served"),
        ({"best_of": 3}, "not served"),
        ({"messages": [{"role": "user", "content": "x"}]}, "not served"),
    ],
    ids=map(str, count()),
)
def test_a_completion_that_is_wrong(small: Running, fields: dict[str, Any], said: str) -> None:
    answer = small.ask("/v1/completions", {"prompt": "x", "max_tokens": 2, **fields})
    assert answer.status == 400
    assert said in answer.error["message"]


def test_fields_that_ask_for_nothing_are_taken(small: Running) -> None:
    nothing = {"n": 1, "user": "me", "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "tools": []}
    asked = {**CHAT, **nothing, "stop": None, "top_k": -1, "response_format": {"type": "text"}, "seed": None}
    assert small.ask("/v1/chat/completions", asked).status == 200


def test_another_model_is_not_found(small: Running) -> None:
    answer = small.ask("/v1/chat/completions", {**CHAT, "model": "gpt-9"})
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "expected bytes" in answer.error["message"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/embeddings", "/../../etc/passwd", "/v1/%2e%2e/%2e%2e/etc/passwd", "/v1//models", "/%00"]
)
def test_there_is_nothing_at_other_paths(small: Running, path: str) -> None:
    answer = small.ask(path)
    assert (answer.status, answer.error["code"]) == (404, "unknown_path")
    assert "passwd" not in answer.error["message"]


def test_another_method_is_told_which(small: Running) -> None:
    answer = small.ask("/v1/chat/completions")
    assert (answer.status, answer.error["code"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_a_body_that_is_too_long_is_refused_before_it_is_read(small: Running) -> None:
    made = small.connect()
    made.sendall(
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 999999999999\r\n\r\n"
    )
    answer = read_answer(made)
    assert (answer.status, answer.error["code"]) == (413, "body_too_long")


def test_a_body_without_a_length_is_refused_when_it_is_too_long(small: Running) -> None:
    made = small.connect()
    made.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n")
    piece = b"1000\r\n" + b" " * 4096 + b"\r\n"
    received = b""
    try:
        for _ in range(1000):
            made.sendall(piece)
        received = b"".join(iter(lambda: made.recv(65536), b""))
    except OSError:  # it was closed while we sent
        made.settimeout(1.0)
    if not received:
        received = made.recv(65536)
    assert parsed(received).status == 413


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"h%d: v\r\n" % n for n in range(20_000)) + b"\r\n",
    ],
    ids=map(str, count()),
)
def test_what_is_no_http_is_told_and_closed(small: Running, sent: bytes) -> None:
    made = small.connect()
    received = b""
    try:
        made.sendall(sent)
        received = b"".join(iter(lambda: made.recv(65536), b""))
    except ConnectionError:  # what it had not read was thrown away with the connection
        return
    answer = parsed(received)
    assert answer.status == 400
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"


def test_a_request_that_is_never_whole_takes_nothing_from_others(small: Running) -> None:
    for begun in (b"POST /v1/comp", b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"):
        small.connect().sendall(begun)
    assert small.ask("/health").status == 200


def test_a_thousand_idle_connections_keep_nobody_out(small: Running) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 200  # both ends of each are this process's
    idle = [small.connect() for _ in range(min(1000, most))]
    assert len(idle) > 200
    try:
        for one in idle[:20]:
            one.close()
        assert small.ask("/v1/chat/completions", CHAT).status == 200
    finally:
        for one in idle:
            one.close()


def test_beyond_the_most_connections_the_longest_idle_is_closed(start: Start) -> None:
    few = start(ServerLimits(connections=8, grace_s=1.0))
    idle = [few.connect() for _ in range(12)]
    assert few.ask("/health").status == 200
    assert ends(idle[0])
    idle[-1].sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert read_answer(idle[-1]).status == 200


def test_a_connection_that_asks_nothing_is_closed(start: Start) -> None:
    impatient = start(ServerLimits(idle_s=0.3, grace_s=1.0))
    silent, slow = impatient.connect(), impatient.connect()
    slow.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    for one in (silent, slow):
        assert ends(one)


def ends(made: socket.socket) -> bool:
    """Whether the other side closes, in whatever way, without a word."""
    try:
        return made.recv(1) == b""
    except ConnectionResetError:
        return True
