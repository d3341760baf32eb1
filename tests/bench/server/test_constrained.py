"""Answers that follow a schema, from a model that knows nothing of JSON."""

from __future__ import annotations

import json

import pytest

from .conftest import Running, read_answer

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["river", "mountain", "lake"]},
        "metres": {"type": "integer", "minimum": 0, "maximum": 9999},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "known": {"type": "boolean"},
    },
    "required": ["kind", "metres", "names", "known"],
    "additionalProperties": False,
}


def fits(found: object) -> bool:
    assert isinstance(found, dict)
    assert set(found) == set(SCHEMA["required"])
    assert found["kind"] in ("river", "mountain", "lake")
    assert isinstance(found["metres"], int)
    assert 0 <= found["metres"] <= 9999
    assert len(found["names"]) <= 2
    assert all(isinstance(name, str) and len(name) <= 3 for name in found["names"])
    assert isinstance(found["known"], bool)
    return True


def test_every_seed_gives_what_the_schema_says(toy: Running) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}}
    fields = {"messages": [{"role": "user", "content": "A place"}], "response_format": asked, "max_tokens": 200}
    sockets = [
        toy.send("/v1/chat/completions", {**fields, "temperature": 1.0, "seed": seed, "stream": seed % 2 == 1})
        for seed in range(20)
    ]
    answers = [read_answer(one) for one in sockets]
    whole = [answer.json["choices"][0]["message"]["content"] for answer in answers[::2]]
    texts = [*whole, *(answer.text for answer in answers[1::2])]
    assert all(fits(json.loads(text)) for text in texts)
    assert len(set(texts)) > 10, "they are not one text that is always right"


def test_any_object_is_an_object(toy: Running) -> None:
    """Of a random model hardly any ends; what has come can always be gone on with to JSON."""
    for seed in range(4):
        answer = toy.chat(response_format={"type": "json_object"}, max_tokens=60, temperature=1, seed=seed).json
        text = answer["choices"][0]["message"]["content"]
        assert text.lstrip().startswith("{")
        if answer["choices"][0]["finish_reason"] == "stop":
            assert isinstance(json.loads(text), dict)


def test_an_answer_that_is_complete_ends_by_itself(toy: Running) -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"const": 7}}}
    answer = toy.chat(response_format=schema, max_tokens=50).json
    (choice,) = answer["choices"]
    assert choice["message"]["content"].strip() == "7"
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] <= 3


@pytest.mark.parametrize("mixed", [True, False])
def test_who_shares_a_batch_is_not_constrained(toy: Running, mixed: bool) -> None:
    free = {"prompt": "Hello", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
    alone = toy.ask("/v1/completions", free).json["choices"][0]["text"]
    schema = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    bound = {**free, "max_tokens": 40, "response_format": schema, "ignore_eos": False}
    if mixed:
        bound |= {"temperature": 1, "seed": 4}
    sockets = [toy.send("/v1/completions", body) for body in (bound, free, bound)]
    first, second, third = (read_answer(one).json["choices"][0]["text"] for one in sockets)
    assert second == alone
    assert first == third
    assert first.lstrip().startswith("{")
