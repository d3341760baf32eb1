"""What a request asks for, read off its body: chat or completion, lengths, sampling, how the answer is to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from attnlab.bench.errors import SamplingError
from attnlab.bench.llm.models.chat import Message
from attnlab.bench.llm.sampling_params import SamplingParams
from attnlab.bench.server.fields import Fields, kind_of
from attnlab.bench.server.refusal import Refusal

Kind = Literal["chat", "completion"]

MOST_STOPS, LONGEST_STOP = 16, 256
MOST_MESSAGES = 4096
MOST_LIKELIEST = 20
MOST_TOKENS = 2**31
LARGEST_SEED = 2**63 - 1
LEAST_TEMPERATURE = 1e-5  # below it nothing is left to draw, and float32 divides by 0
COMPLETION_TOKENS = 16  # of a completion that does not say how many
ROLES = ("system", "user", "assistant")

IGNORED = (
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
    "priority",
    "request_id",
)
NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "n": (1,),
        "best_of": (1,),
        "presence_penalty": (0, 0.0),
        "frequency_penalty": (0, 0.0),
        "length_penalty": (1, 1.0),
        "logit_bias": ({},),
        "use_beam_search": (False,),
        "min_tokens": (0,),
        "stop_token_ids": ([],),
        "skip_special_tokens": (True,),
        "include_stop_str_in_output": (False,),
        "truncate_prompt_tokens": (),
        "prompt_logprobs": (),
        "guided_json": (),
        "guided_regex": (),
        "guided_grammar": (),
        "structured_outputs": (),
    }
)
CHAT_NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "parallel_tool_calls": (True, False),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "reasoning_effort": (),
        "verbosity": (),
        "web_search_options": (),
        "echo": (False,),
        "add_generation_prompt": (True,),
        "continue_final_message": (False,),
        "chat_template": (),
        "chat_template_kwargs": ({},),
        "prompt": (),
    }
)
COMPLETION_NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {"echo": (False,), "suffix": ("",), "add_special_tokens": (False,), "messages": ()}
)


@dataclass(frozen=True)
class Wanted:
    """One request. max_tokens: None for as many as the context leaves. seed: None for any.

    logprobs: how many of the likeliest tokens are shown at each place, None for no log-probabilities at all. schema:
    the JSON schema that the answer is to follow, {} for any JSON object, None for text. usage: with the last piece of a
    stream; usage_always: with each.
    """

    kind: Kind
    model: str | None
    messages: tuple[Message, ...]
    prompt: str | tuple[int, ...]
    max_tokens: int | None
    params: SamplingParams
    seed: int | None
    stop: tuple[str, ...]
    stream: bool
    usage: bool
    usage_always: bool
    ignore_eos: bool
    token_ids: bool
    logprobs: int | None
    schema: dict[str, Any] | None


def read_wanted(kind: Kind, body: bytes) -> Wanted:
    """Raises Refusal, which names the field that is to blame."""
    fields = Fields.read(body)
    stream = fields.flag("stream")
    usage, usage_always = _usage(fields, stream)
    wanted = Wanted(
        kind=kind,
        model=fields.text("model"),
        messages=_messages(fields) if kind == "chat" else (),
        prompt=_prompt(fields) if kind == "completion" else "",
        max_tokens=_max_tokens(fields, kind),
        params=_params(fields),
        seed=fields.whole("seed", -LARGEST_SEED, LARGEST_SEED),
        stop=fields.texts("stop", MOST_STOPS, LONGEST_STOP),
        stream=stream,
        usage=usage,
        usage_always=usage_always,
        ignore_eos=fields.flag("ignore_eos"),
        token_ids=fields.flag("return_token_ids"),
        logprobs=_chat_logprobs(fields) if kind == "chat" else fields.whole("logprobs", 0, MOST_LIKELIEST),
        schema=_schema(fields),
    )
    fields.ignored(IGNORED)
    fields.neutral({**NEUTRAL, **(CHAT_NEUTRAL if kind == "chat" else COMPLETION_NEUTRAL)})
    fields.done()
    if wanted.schema is not None and wanted.ignore_eos:
        raise Refusal("got response_format with ignore_eos, which goes on after the JSON; expected one of them")
    return wanted


def _usage(fields: Fields, stream: bool) -> tuple[bool, bool]:
    options = fields.inner("stream_options")
    if options is None:
        return False, False
    if not stream:
        raise Refusal("got stream_options without stream; expected them with stream=true", param="stream_options")
    usage, always = options.flag("include_usage"), options.flag("continuous_usage_stats")
    options.ignored(("include_obfuscation",))
    options.done()
    return usage, usage and always


def _messages(fields: Fields) -> tuple[Message, ...]:
    given = fields.take("messages")
    if not isinstance(given, list) or not 0 < len(given) <= MOST_MESSAGES:
        raise fields.wrong("messages", given, f"a list of 1 to {MOST_MESSAGES} messages")
    return tuple(_message(number, one) for number, one in enumerate(given))


def _message(number: int, given: Any) -> Message:
    place = f"messages[{number}]"
    if not isinstance(given, dict):
        raise Refusal(f"got {place} that is {kind_of(given)}; expected an object", param=place, code="invalid_value")
    fields = Fields(given, f"{place}.")
    role, content = fields.text("role"), fields.take("content")
    if role not in ROLES:
        raise fields.wrong("role", role, f"one of {', '.join(ROLES)}")
    fields.ignored(("name",))
    fields.neutral({"tool_calls": ([],), "refusal": (), "audio": (), "function_call": ()})
    fields.done()
    return Message(role, content if isinstance(content, str) else _parts(fields, content))


def _parts(fields: Fields, content: Any) -> str:
    """The text of a content that comes in parts."""
    if not isinstance(content, list):
        raise fields.wrong("content", content, "a string, or a list of parts of text")
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else None
            raise fields.wrong("content", str(kind) if kind else content, "parts of text alone")
        texts.append(text)
    return "".join(texts)


def _prompt(fields: Fields) -> str | tuple[int, ...]:
    """A text or ids; of a list of prompts the only one."""
    given = fields.take("prompt")
    if isinstance(given, list) and given and isinstance(given[0], (str, list)):
        if len(given) > 1:
            raise fields.wrong("prompt", given, "one prompt: several in one request are not served")
        given = given[0]
    if isinstance(given, list) and given and all(type(one) is int and 0 <= one < MOST_TOKENS for one in given):
        return tuple(given)
    if not isinstance(given, str):
        raise fields.wrong("prompt", given, "a string, or a list of token ids")
    return given


def _max_tokens(fields: Fields, kind: Kind) -> int | None:
    most = fields.whole("max_tokens", 1, MOST_TOKENS)
    if kind == "completion":
        return COMPLETION_TOKENS if most is None else most
    named = fields.whole("max_completion_tokens", 1, MOST_TOKENS)
    if most is not None and named is not None and most != named:
        raise Refusal(
            f"got max_tokens={most} and max_completion_tokens={named}; expected one of them, or the same",
            param="max_completion_tokens",
        )
    return most if named is None else named


def _params(fields: Fields) -> SamplingParams:
    temperature, top_p = fields.number("temperature", 0, 2), fields.number("top_p", 0, 1)
    top_k, min_p = fields.whole("top_k", -1, MOST_TOKENS), fields.number("min_p", 0, 1)
    penalty = fields.number("repetition_penalty", 0.01, 100)
    given: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "min_p": min_p, "repetition_penalty": penalty}
    given = {name: value for name, value in given.items() if value is not None}
    if temperature is not None and temperature < LEAST_TEMPERATURE:
        given["temperature"] = 0.0
    try:
        return SamplingParams(top_k=top_k if top_k is not None and top_k > 0 else None, **given)
    except SamplingError as error:
        raise Refusal(str(error), code="invalid_value") from None


def _chat_logprobs(fields: Fields) -> int | None:
    asked, likeliest = fields.flag("logprobs"), fields.whole("top_logprobs", 0, MOST_LIKELIEST)
    if likeliest is not None and not asked:
        raise Refusal("got top_logprobs without logprobs; expected logprobs=true beside it", param="top_logprobs")
    return (likeliest or 0) if asked else None


def _schema(fields: Fields) -> dict[str, Any] | None:
    """None for text, {} for any JSON object, else the schema."""
    inner = fields.inner("response_format")
    if inner is None:
        return None
    kind, named = inner.text("type"), inner.inner("json_schema")
    inner.done()
    if kind not in ("text", "json_object", "json_schema"):
        raise inner.wrong("type", kind, "text, json_object or json_schema")
    if kind != "json_schema":
        return {"type": "object"} if kind == "json_object" else None
    schema = None if named is None else named.take("schema")
    if named is None or not isinstance(schema, dict):
        raise inner.wrong("json_schema", schema, 'an object with the schema, such as {"name": "n", "schema": {…}}')
    named.ignored(("name", "description", "strict"))
    named.done()
    return schema
