"""How each kind of endpoint asks and reads, on answers as their servers' documentation and sources have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.sampling_params import SamplingParams
from attnlab.bench.ops.serve.case import ServeCase
from attnlab.bench.ops.serve.endpoint import HttpEndpoint
from attnlab.bench.serving.asked import Asked, Message
from attnlab.bench.serving.endpoint import Part, UnreadableAnswer, Usage, Whole
from attnlab.bench.serving.service import Service
from attnlab.impls.serve.llama_cpp import LlamaCppServer
from attnlab.impls.serve.openai_chat import OpenAIChat
from attnlab.impls.serve.openai_completions import OpenAICompletions
from attnlab.impls.serve.tgi import TextGenerationInference

SERVICE = Service("http://127.0.0.1:8000", model="m")
ASKED = Asked(0, messages=(Message("user", "Hi"),), prompt="<user>Hi", prompt_ids=(1, 2), max_tokens=5)
DRAWN = Asked(
    0,
    prompt="Hi",
    max_tokens=5,
    sampling=SamplingParams(0.8, top_k=40, top_p=0.9),
    seed=7,
    stop=("\n",),
    whole_length=False,
)


def test_openai_asks_for_usage_ids_and_the_whole_length() -> None:
    assert OpenAIChat().body(ASKED, SERVICE, True) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "stream": True,
        "return_token_ids": True,
        "model": "m",
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "temperature": 0.0,
    }
    completions = OpenAICompletions()
    assert completions.body(ASKED, SERVICE, False)["prompt"] == "<user>Hi"
    assert "stream_options" not in completions.body(ASKED, SERVICE, False)
    by_ids = Asked(0, prompt_ids=(4, 5), max_tokens=2)
    assert completions.body(by_ids, SERVICE, True)["prompt"] == [4, 5]
    drawn = completions.body(DRAWN, SERVICE, True)
    kept = {name: drawn[name] for name in ("temperature", "top_k", "top_p", "seed", "stop")}
    assert kept == {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "seed": 7, "stop": ["\n"]}
    assert "ignore_eos" not in drawn


def test_llama_cpp_asks_greedily_with_ids_and_reads_its_own_stream() -> None:
    endpoint = LlamaCppServer()
    body = endpoint.body(ASKED, SERVICE, True)
    assert (body["prompt"], body["n_predict"], body["temperature"], body["ignore_eos"]) == ([1, 2], 5, 0.0, True)
    assert endpoint.body(DRAWN, SERVICE, True)["top_k"] == 40
    piece = {"index": 0, "content": " Par", "tokens": [2547], "stop": False, "id_slot": 0, "tokens_predicted": 1}
    assert endpoint.read_event(json.dumps(piece)) == Part("text", " Par", ids=(2547,))
    last = {
        "content": "",
        "tokens": [],
        "stop": True,
        "model": "smollm2",
        "tokens_predicted": 5,
        "tokens_evaluated": 20,
        "stop_type": "limit",
        "tokens_cached": 24,
        "timings": {"cache_n": 16, "prompt_n": 4, "prompt_ms": 12.5, "predicted_n": 5, "predicted_ms": 40.0},
    }
    part = endpoint.read_event(json.dumps(last))
    assert (part.kind, part.text, part.finish_reason, part.model) == ("text", "", "length", "smollm2")
    assert part.usage is not None
    assert (part.usage.prompt, part.usage.completion, part.usage.cached) == (20, 5, 16)
    assert (part.usage.timings or {})["prompt_ns"] == 12.5e6
    older = last | {"timings": {"prompt_n": 4}}
    usage = endpoint.read_event(json.dumps(older)).usage
    assert usage is not None
    assert usage.cached == 16, "of releases that do not say it"
    whole = last | {"content": "Paris is", "tokens": [1, 2, 3, 4, 5]}
    assert endpoint.read_whole(json.dumps(whole).encode()).ids == (1, 2, 3, 4, 5)
    error = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}}
    assert endpoint.read_event(json.dumps(error)).kind == "error"


def test_tgi_asks_by_parameters_and_reads_tokens() -> None:
    endpoint = TextGenerationInference()
    body = endpoint.body(ASKED, SERVICE, True)
    assert body == {
        "inputs": "<user>Hi",
        "parameters": {"max_new_tokens": 5, "details": True, "do_sample": False},
        "stream": True,
    }
    assert endpoint.body(DRAWN, SERVICE, False)["parameters"]["stop"] == ["\n"]
    token = {"id": 330, "text": " a", "logprob": -0.1, "special": False}
    piece = {"index": 1, "token": token, "generated_text": None, "details": None}
    assert endpoint.read_event(json.dumps(piece)) == Part("text", " a", tokens=1, ids=(330,))
    details = {"finish_reason": "eos_token", "generated_tokens": 2, "seed": None, "input_length": 9}
    end = {"index": 2, "token": {"id": 2, "text": "</s>", "special": True}, "generated_text": " a", "details": details}
    assert endpoint.read_event(json.dumps(end)) == Part(
        "text", "", tokens=1, ids=(2,), finish_reason="stop", usage=Usage(9, 2)
    )
    whole = [{"generated_text": " a", "details": details | {"tokens": [token, end["token"]]}}]
    read = endpoint.read_whole(json.dumps(whole).encode())
    assert read == Whole(" a", "", (330, 2), "stop", Usage(9, 2))
    assert endpoint.models_in({"model_id": "org/model"}) == ("org/model",)


@pytest.mark.parametrize("endpoint", [OpenAIChat(), OpenAICompletions(), LlamaCppServer(), TextGenerationInference()])
@pytest.mark.parametrize("data", ["<html>", "[]", "{}", '{"choices": 3}', '{"token": 3}', '{"content": 3}'])
def test_what_is_no_answer_is_told(endpoint: HttpEndpoint, data: str) -> None:
    with pytest.raises(UnreadableAnswer):
        endpoint.read_event(data)


SUPPORTS: list[tuple[str, str, str | None]] = [
    ("openai_chat", "summarise-bf16", None),
    ("openai_chat", "random-bf16", "it takes no token ids"),
    ("openai_completions", "at_x-random-bf16", None),
    ("openai_completions", "llama3_8b-random-bf16", "our server needs a tokenizer"),
    ("llama_cpp", "summarise-bf16", "our server does not speak this"),
    ("llama_cpp", "at_x-summarise-bf16", None),
    ("tgi", "at_x-summarise-bf16", "it cannot be told to go on past an end token"),
    ("tgi", "at_x-summarise-own_end-bf16", None),
    ("tgi", "at_x-summarise-sample.m0.1-own_end-bf16", "it takes no min_p"),
    ("in_process", "at_x-summarise-bf16", "is asked over HTTP"),
    ("in_process", "random-bf16", None),
]


@pytest.mark.parametrize(("name", "case", "said"), SUPPORTS)
def test_what_a_kind_of_server_cannot_do_has_a_reason(name: str, case: str, said: str | None) -> None:
    supports: Any = discover().implementations("serve").get(name).supports
    reason = supports(ServeCase.parse(case))
    assert reason is None if said is None else said in (reason or "")
