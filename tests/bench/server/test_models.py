"""The same answers by every live engine, and the real model once."""

from __future__ import annotations

import json

import pytest

from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.models.packaged import find_model
from attnlab.bench.server.settings import ServerLimits
from attnlab.bench.server.setup import Served, set_up

from .conftest import Running, Start, read_answer, running

PROMPTS = ("Hello", "Hello there, this is a text of some length", "Hi" * 40, "x", "abc" * 20, "Hello")


@pytest.mark.parametrize("engine", ["paged", "sdpa"])
def test_every_engine_answers_the_same_whoever_comes_and_goes(toy: Running, start: Start, engine: str) -> None:
    """More requests than fit at once, of many lengths: rows of contiguous caches have to move when one ends."""
    other = start(implementation=engine, batch=3)
    bodies = [
        {"prompt": prompt, "max_tokens": 4 + 9 * (n % 3), "temperature": n % 2, "seed": n, "return_token_ids": True}
        for n, prompt in enumerate(PROMPTS * 2)
    ]
    sent = [(toy.send("/v1/completions", body), other.send("/v1/completions", body)) for body in bodies]
    for one, two in sent:
        first, second = (read_answer(made).json["choices"][0] for made in (one, two))
        assert first == second
    gone = [other.send("/v1/completions", {**body, "max_tokens": 300, "ignore_eos": True}) for body in bodies[:3]]
    other.wait_until(lambda: other.service.engine.counters.running == 3)
    gone[0].close()
    assert (
        other.ask("/v1/completions", bodies[3]).json["choices"] == toy.ask("/v1/completions", bodies[3]).json["choices"]
    )
    for made in gone:
        made.close()
    other.wait_until(lambda: other.service.engine.counters.used_pages == 0)


def test_the_real_model_answers(implementations: list[Implementation]) -> None:
    try:
        find_model()
    except Unavailable as error:
        pytest.skip(str(error))
    served = Served("sdpa", "smollm2_135m", batch=2, context=128, device="cpu")
    question = {"messages": [{"role": "user", "content": "What is 2+2? Answer with a number."}], "temperature": 0}
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    bound = {"type": "json_schema", "json_schema": {"schema": {**schema, "additionalProperties": False}}}
    with running(set_up(served, implementations, ServerLimits(grace_s=1.0)), find_model()) as real:
        whole = real.ask("/v1/chat/completions", {**question, "max_tokens": 12}).json
        streamed = real.ask("/v1/chat/completions", {**question, "max_tokens": 12, "stream": True})
        assert streamed.text == whole["choices"][0]["message"]["content"]
        assert "4" in streamed.text
        found = real.ask("/v1/chat/completions", {**question, "max_tokens": 40, "response_format": bound}).json
        assert set(json.loads(found["choices"][0]["message"]["content"])) == {"answer"}
        (model,) = real.ask("/v1/models").json["data"]
        assert model["id"] == "smollm2_135m"
        assert "sha256" in model["attnlab"]["weights"]
