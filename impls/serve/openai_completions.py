"""Servers that speak OpenAI's older API of completions: ours, vLLM, SGLang, llama.cpp's."""

from __future__ import annotations

from typing import Any

from attnlab.bench import HttpEndpoint, Needs, Speaks, implements
from attnlab.bench.serving import Asked, Part, Service, Whole, openai
from attnlab.impls.serve._openai import SAMPLING, options


@implements(
    "serve",
    name="openai_completions",
    needs=Needs(packages=("aiohttp",)),
    memory_seen=False,
    built_from=("generate/paged",),  # what runs behind our own server
)
class OpenAICompletions(HttpEndpoint):
    """OpenAI's completions, `/v1/completions`: the prompt is sent with the model's template, or as token ids."""

    path = "/v1/completions"
    speaks = Speaks(ours=True, ids=True, on=True, sampling=SAMPLING)

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        prompt = asked.prompt or list(asked.prompt_ids or ())
        return {"prompt": prompt, "add_special_tokens": False, **options(asked, service, stream)}

    def read_event(self, data: str) -> Part:
        return openai.read_completion_event(data)

    def read_whole(self, body: bytes) -> Whole:
        return openai.read_completion_whole(body)
