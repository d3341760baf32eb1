"""What requests in OpenAI's form have in common, with the fields that vLLM, SGLang, llama.cpp and our server add."""

from __future__ import annotations

from typing import Any

from attnlab.bench.serving import Asked, Service

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def options(asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
    """All of a request but its prompt. Fields that a service refuses are taken out by `omit` of its table."""
    made: dict[str, Any] = {"max_tokens": asked.max_tokens, "stream": stream, "return_token_ids": True}
    if service.model is not None:
        made["model"] = service.model
    if stream:
        made["stream_options"] = {"include_usage": True}
    if asked.whole_length:
        made["ignore_eos"] = True
    if asked.stop:
        made["stop"] = list(asked.stop)
    if asked.seed is not None:
        made["seed"] = asked.seed
    return made | _sampling(asked)


def _sampling(asked: Asked) -> dict[str, Any]:
    """What is not at its default, lest a server refuse a field that changes nothing; `temperature` always."""
    if asked.sampling is None:
        return {"temperature": 0.0}
    params, default = asked.sampling, type(asked.sampling)()
    others = {name: getattr(params, name) for name in SAMPLING if getattr(params, name) != getattr(default, name)}
    return {"temperature": params.temperature, **others}
