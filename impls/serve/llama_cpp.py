"""llama.cpp's own server, `llama-server`, by its own API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnlab.bench import HttpEndpoint, Needs, Speaks, implements
from attnlab.bench.serving import Asked, Part, Service, UnreadableAnswer, Usage, Whole, openai
from attnlab.impls.serve._openai import SAMPLING

FINISHES = {"limit": "length", "eos": "stop", "word": "stop"}
NO_TRUNCATION = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}


@implements("serve", name="llama_cpp", needs=Needs(packages=("aiohttp",)), memory_seen=False)
class LlamaCppServer(HttpEndpoint):
    """llama.cpp's `/completion`: the prompt as token ids where they are known, with its own timings."""

    path = "/completion"
    speaks = Speaks(ids=True, on=True, sampling=SAMPLING)

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        chosen: dict[str, Any] = {"temperature": 0.0}
        if asked.sampling is not None:
            params = asked.sampling
            chosen = {
                "temperature": params.temperature,
                "top_k": params.top_k or 0,
                "top_p": params.top_p,
                "min_p": params.min_p,
                "repeat_penalty": params.repetition_penalty,
            }
        return {
            "prompt": list(asked.prompt_ids) if asked.prompt_ids else asked.prompt,
            "n_predict": asked.max_tokens,
            "stream": stream,
            "ignore_eos": asked.whole_length,
            "cache_prompt": True,
            "return_tokens": True,
            **NO_TRUNCATION,
            **chosen,
            **({} if asked.seed is None else {"seed": asked.seed}),
            **({"stop": list(asked.stop)} if asked.stop else {}),
        }

    def read_event(self, data: str) -> Part:
        found = openai.json_object(data)
        error = openai.error_in(found)
        if error is not None:
            return Part("error", error=error)
        text = found.get("content")
        if not isinstance(text, str):
            raise UnreadableAnswer("got an event without `content`; expected it as of llama.cpp's /completion")
        return Part(
            "text", text, ids=_ids(found), finish_reason=_finish(found), usage=_usage(found), model=found.get("model")
        )

    def read_whole(self, body: bytes) -> Whole:
        part = self.read_event(body.decode())
        if part.error is not None:
            raise UnreadableAnswer(part.error)
        return Whole(part.text, "", part.ids, part.finish_reason, part.usage, part.model)


def _ids(found: Mapping[str, Any]) -> tuple[int, ...] | None:
    ids = found.get("tokens")
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        return None
    return tuple(ids) if ids or found.get("stop") else None


def _finish(found: Mapping[str, Any]) -> str | None:
    if not found.get("stop"):
        return None
    told = str(found.get("stop_type"))
    return FINISHES.get(told, told)


def _usage(found: Mapping[str, Any]) -> Usage | None:
    """Of the last event. What it calls `tokens_cached` is all that its cache holds: `timings` say what was reused."""
    if not found.get("stop"):
        return None
    prompt, timings = openai.whole(found, "tokens_evaluated"), found.get("timings")
    cached = computed = None
    if isinstance(timings, Mapping):
        cached, computed = openai.whole(timings, "cache_n"), openai.whole(timings, "prompt_n")
    if cached is None and prompt is not None and computed is not None:
        cached = max(0, prompt - computed)
    return Usage(prompt, openai.whole(found, "tokens_predicted"), cached, timings=openai.timings_in(found))
