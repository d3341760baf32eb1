"""Servers that speak OpenAI's chat API: ours, vLLM, SGLang, llama.cpp's, and services behind gateways."""

from __future__ import annotations

from typing import Any

from attnlab.bench import HttpEndpoint, Needs, Speaks, implements
from attnlab.bench.serving import Asked, Part, Service, Whole, openai
from attnlab.impls.serve._openai import SAMPLING, options


@implements(
    "serve",
    name="openai_chat",
    needs=Needs(packages=("aiohttp",)),
    memory_seen=False,
    built_from=("generate/paged",),  # what runs behind our own server
)
class OpenAIChat(HttpEndpoint):
    """OpenAI's chat API, `/v1/chat/completions`: the server puts the messages into its own template."""

    path = "/v1/chat/completions"
    speaks = Speaks(ours=True, on=True, sampling=SAMPLING)

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        messages = [{"role": one.role, "content": one.text} for one in asked.messages]
        return {"messages": messages, **options(asked, service, stream)}

    def read_event(self, data: str) -> Part:
        return openai.read_chat_event(data)

    def read_whole(self, body: bytes) -> Whole:
        return openai.read_chat_whole(body)
