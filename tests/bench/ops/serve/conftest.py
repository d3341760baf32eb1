"""A toy model in a folder, and a server without HTTP that answers as the reference does, or lies about one thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.reference import reference_greedy
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.ops.generate.contract import shared_tokenizer
from attnlab.bench.ops.serve.case import ServeCase
from attnlab.bench.ops.serve.inputs import ServeInputs, ServeOutputs
from attnlab.bench.serving.asked import Asked, joined
from attnlab.bench.serving.endpoint import Usage
from attnlab.bench.serving.load import Load
from attnlab.bench.serving.log import Arrivals, Served, ServedLog
from tests.helpers.toy_served import make_toy

Change = Callable[[Served, Asked], Served]


class ToyServer:
    """Answers one request after another by the reference, and keeps a log as the client does.

    change: what is lied of each answer. ids: whether it tells the ids of tokens.
    """

    def __init__(self, model: Path, change: Change | None = None, ids: bool = True) -> None:
        self.weights: ModelWeights = load_model(str(model), torch.float32, torch.device("cpu"))
        tokenizer = shared_tokenizer(str(model))
        assert tokenizer is not None
        self.tokenizer: Tokenizer = tokenizer
        self.change, self.ids = change, ids
        self.asked: list[Asked] = []

    def put(self, asked: Sequence[Asked], load: Load, stream: bool) -> ServedLog:
        begun_ns = time.perf_counter_ns()
        served: list[Served] = []
        known: dict[int, tuple[Asked, str]] = {}
        free_ns = 0
        for one in asked:
            whole = one if one.after is None else joined(one, *known[one.after])
            self.asked.append(whole)
            due_ns = free_ns if load.closed else round(1e9 * one.due_s)
            while time.perf_counter_ns() - begun_ns < due_ns:
                time.sleep(0.0005)
            answer = self.answer(whole, due_ns, begun_ns, stream)
            known[one.number] = whole, answer.text
            served.append(answer if self.change is None else self.change(answer, whole))
            free_ns = time.perf_counter_ns() - begun_ns
        return ServedLog(tuple(served), begun_ns, time.perf_counter_ns() - begun_ns)

    def answer(self, one: Asked, due_ns: int, begun_ns: int, stream: bool) -> Served:
        ids = list(self.tokenizer.encode(one.prompt)) if one.prompt else list(one.prompt_ids or ())
        sent_ns = time.perf_counter_ns() - begun_ns
        tokens = reference_greedy(self.weights, torch.tensor([ids]), one.max_tokens)[0].tolist()
        first_ns = time.perf_counter_ns() - begun_ns
        times = tuple(first_ns + n for n in range(len(tokens))) if stream else (first_ns,)
        counts = tuple(range(1, len(tokens) + 1)) if stream else (len(tokens),)
        return Served(
            number=one.number,
            due_ns=due_ns,
            begun_ns=sent_ns,
            ended_ns=times[-1],
            sent_ns=sent_ns,
            headers_ns=sent_ns,
            arrivals=Arrivals(times, (1,) * len(times), ("text",) * len(times), counts),
            text=self.tokenizer.decode(tokens),
            finish_reason="length",
            usage=Usage(len(ids), len(tokens), 0),
            counted_by="usage",
            ids=tuple(tokens) if self.ids else None,
            done=True,
            streamed=stream,
            prompt_tokens=len(ids),
        )


class Asking:
    """An implementation of `serve` that asks a toy server."""

    def __init__(self, server: ToyServer) -> None:
        self.server = server

    def run(self, inputs: ServeInputs, state: Any) -> ServeOutputs:
        return inputs.drive_with(self.server.put)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The model is small: threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="session")
def toy_case(toy: Path) -> ServeCase:
    """Four requests, two at a time; the server is one that nobody starts."""
    return case_of(toy)


def case_of(toy: Path, **axes: object) -> ServeCase:
    known: dict[str, object] = {"model": str(toy), "server": "toy", "dtype": "float32", "prompts": "chat"}
    sizes: dict[str, object] = {"requests": 4, "prompt_len": 150, "new_tokens": 6, "load": "concurrency:1"}
    return ServeCase.build({**known, **sizes, **axes})


def changed(**fields: Any) -> Change:
    """A lie that is the same of each answer."""
    return lambda served, asked: replace(served, **fields)
