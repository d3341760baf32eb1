"""A server of a toy model on a real socket, and clients that speak to it as plainly as may be."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.contract.registry import Implementation, discover_some
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.server.running import Place, listen, server_of
from attnlab.bench.server.service import Service
from attnlab.bench.server.settings import ServerLimits
from attnlab.bench.server.setup import Served, set_up

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END = 258  # <|im_end|>
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
CONTEXT = 512
WAIT_S = 20.0


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose tokens are bytes, so that any text can come out of it; three more are special."""
    tokenizers = pytest.importorskip("tokenizers", reason="package tokenizers is not installed")
    folder = tmp_path_factory.mktemp("models") / "bytes"
    config = ModelConfig(
        name="bytes",
        vocab_size=264,
        hidden_size=32,
        intermediate_size=48,
        layers=2,
        q_heads=2,
        kv_heads=1,
        head_dim=16,
        rope_theta=10_000.0,
        norm_eps=1e-5,
        context_length=CONTEXT,
        tied_embeddings=False,
        eos_ids=(END,),
    )
    save_folder(random_weights(config, torch.float32, "cpu", seed=1), folder)
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    backend.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": SPECIAL[2], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back: the status, headers by lower-case names, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Of OpenAI's shape, with nothing of ours in it that is nobody's business."""
        found = self.json
        assert set(found) == {"error"}
        assert set(found["error"]) == {"message", "type", "param", "code"}
        message = found["error"]["message"]
        assert "Traceback" not in message
        assert ".py" not in message
        assert str(Path(__file__).parents[3]) not in message
        return dict(found["error"])

    @property
    def events(self) -> list[Any]:
        """Of a stream that was ended as it should be."""
        lines = [part.removeprefix("data: ") for part in self.body.decode().split("\n\n") if part]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]

    @property
    def text(self) -> str:
        """Of the pieces of a streamed answer."""
        choices = [choice for event in self.events for choice in event["choices"]]
        return "".join(one["delta"].get("content", "") if "delta" in one else one["text"] for one in choices)


@dataclass(eq=False)
class Running:
    """A server that answers at host and port."""

    service: Service
    folder: Path
    host: str
    port: int
    sockets: list[socket.socket] = field(default_factory=list)

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        made = socket.socket()
        if receive_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        made.settimeout(WAIT_S)
        made.connect((self.host, self.port))
        self.sockets.append(made)
        return made

    def send(self, path: str, body: bytes | dict[str, Any] | None = None, method: str | None = None) -> socket.socket:
        """A request that was sent whole, on a connection of its own."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        verb = method or ("GET" if body is None else "POST")
        head = f"{verb} {path} HTTP/1.1\r\nhost: toy\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n"
        made = self.connect()
        made.sendall(head.encode() + content)
        return made

    def ask(self, path: str, body: bytes | dict[str, Any] | None = None, method: str | None = None) -> Answer:
        return read_answer(self.send(path, body, method))

    def chat(self, **fields: Any) -> Answer:
        given = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0, **fields}
        return self.ask("/v1/chat/completions", given)

    def complete(self, **fields: Any) -> Answer:
        return self.ask("/v1/completions", {"prompt": "Hello", "max_tokens": 8, "temperature": 0, **fields})

    def metrics(self) -> dict[str, float]:
        """Of those without labels."""
        lines = self.ask("/metrics").body.decode().splitlines()
        told = [line.split(" ") for line in lines if not line.startswith("#") and "{" not in line]
        return {name: float(value) for name, value in told}

    def wait_until(self, holds: Callable[[], bool]) -> None:
        waiting = threading.Event()
        for _ in range(int(WAIT_S / 0.01)):
            if holds():
                return
            waiting.wait(0.01)
        raise AssertionError("it never came to hold")


def read_answer(made: socket.socket) -> Answer:
    """All that comes until the server closes, chunks joined."""
    received = b"".join(iter(lambda: made.recv(65536), b""))
    made.close()
    return parsed(received)


def parsed(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(chunks(body))
    return Answer(int(first.split()[1]), headers, body)


def chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        yield rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def implementations() -> list[Implementation]:
    found = discover_some([f"attnlab.impls.generate.{name}" for name in ("naive", "paged", "sdpa", "llama_cpp")])
    return list(found.implementations("generate"))


@contextmanager
def running(service: Service, folder: Path) -> Iterator[Running]:
    """The service, answered for by a thread of this process."""
    bound, begun, places = listen("127.0.0.1", 0), threading.Event(), []

    def told(place: Place) -> None:
        places.append(place)
        begun.set()

    server = server_of(service, bound, told)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True)
    thread.start()
    assert begun.wait(WAIT_S)
    made = Running(service, folder, places[0].host, places[0].port)
    try:
        yield made
    finally:
        for one in made.sockets:
            one.close()
        server.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def start(toy_folder: Path, implementations: list[Implementation]) -> Iterator[Start]:
    """start(served fields, limits=…) -> a server of the toy that runs until the module is done."""
    open_ones = []

    def make(limits: ServerLimits | None = None, **fields: Any) -> Running:
        served = replace(Served("naive", str(toy_folder), dtype="float32", batch=4, device="cpu"), **fields)
        context = running(set_up(served, implementations, limits or ServerLimits(grace_s=1.0)), toy_folder)
        open_ones.append(context)
        return context.__enter__()

    yield make
    for context in reversed(open_ones):
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def toy(start: Start) -> Running:
    return start()
