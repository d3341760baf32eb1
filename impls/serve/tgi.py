"""Hugging Face's Text Generation Inference, by its own API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attnlab.bench import HttpEndpoint, Needs, Speaks, implements
from attnlab.bench.serving import Asked, Part, Service, UnreadableAnswer, Usage, Whole, openai

FINISHES = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


@implements(
    "serve",
    name="tgi",
    needs=Needs(packages=("aiohttp",)),
    memory_seen=False,
    unverified="text-generation-inference 3.3, POST / with stream and parameters, GET /info",
)
class TextGenerationInference(HttpEndpoint):
    """TGI's `POST /`: the prompt is sent with the model's template; answers end where the model ends them."""

    path = "/"
    identity_path = "/info"
    speaks = Speaks(sampling=("temperature", "top_k", "top_p", "repetition_penalty"))

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        parameters: dict[str, Any] = {"max_new_tokens": asked.max_tokens, "details": True, "do_sample": False}
        if asked.sampling is not None:
            params = asked.sampling
            parameters |= {"do_sample": True, "temperature": params.temperature, "seed": asked.seed}
            parameters |= {"top_p": params.top_p} if params.top_p < 1 else {}
            parameters |= {"top_k": params.top_k} if params.top_k else {}
            penalty = params.repetition_penalty
            parameters |= {"repetition_penalty": penalty} if penalty != 1 else {}
        parameters |= {"stop": list(asked.stop)} if asked.stop else {}
        return {"inputs": asked.prompt, "parameters": parameters, "stream": stream}

    def models_in(self, told: Mapping[str, Any]) -> tuple[str, ...]:
        return (str(told["model_id"]),) if told.get("model_id") else ()

    def read_event(self, data: str) -> Part:
        found = openai.json_object(data)
        error = openai.error_in(found)
        if error is not None:
            return Part("error", error=error)
        token = found.get("token")
        if not isinstance(token, Mapping) or type(token.get("id")) is not int:
            raise UnreadableAnswer("got an event without `token` and its `id`; expected it as TGI streams them")
        text = "" if token.get("special") else str(token.get("text", ""))
        details = found.get("details")
        finish, usage = _end(details if isinstance(details, Mapping) else {})
        return Part("text", text, tokens=1, ids=(token["id"],), finish_reason=finish, usage=usage)

    def read_whole(self, body: bytes) -> Whole:
        found = _first(body)
        text, details = found.get("generated_text"), found.get("details")
        if not isinstance(text, str):
            words = openai.error_in(found)
            raise UnreadableAnswer(words or "got an answer without `generated_text`; expected it as TGI gives it")
        told = details if isinstance(details, Mapping) else {}
        finish, usage = _end(told)
        ids = tuple(one["id"] for one in told.get("tokens") or () if isinstance(one, Mapping) and "id" in one)
        return Whole(text, "", ids or None, finish, usage)


def _first(body: bytes) -> dict[str, Any]:
    """The answer, which `POST /` gives as the only one of a list."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return openai.json_object(body)
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else openai.json_object(body)


def _end(details: Mapping[str, Any]) -> tuple[str | None, Usage | None]:
    """Why an answer ended, and what it took; of an event that is not the last nothing."""
    if not details:
        return None, None
    told = str(details.get("finish_reason"))
    usage = Usage(openai.whole(details, "input_length"), openai.whole(details, "generated_tokens"))
    return FINISHES.get(told, told), usage
