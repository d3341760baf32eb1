"""Events and answers in OpenAI's form, which most servers speak, each with fields of its own: read once, for all.

Chat: `choices[0].delta` has `role`, `content`, `reasoning_content` (DeepSeek, SGLang, llama.cpp, vLLM before 0.11) or
`reasoning` (vLLM since, OpenRouter), `tool_calls`, `refusal`. Completions: `choices[0].text`. `usage` comes in a last
event without choices, or, by `continuous_usage_stats`, in each. Ids of tokens are `token_ids` (vLLM, SGLang and our
server on request). The mark of the end is `[DONE]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from attnlab.bench import units
from attnlab.bench.serving.endpoint import Kind, Part, UnreadableAnswer, Usage, Whole
from attnlab.bench.text import one_line

DONE = "[DONE]"
SHOWN = 120  # characters of what could not be read
_decode = msgspec.json.decode
_DONE_PART, _EMPTY = Part("done"), Part("other")


def read_chat_event(data: str) -> Part:
    """One event of `/v1/chat/completions`."""
    return _read_event(data, "delta")


def read_completion_event(data: str) -> Part:
    """One event of `/v1/completions`."""
    return _read_event(data, None)


def read_chat_whole(body: bytes) -> Whole:
    """The answer of `/v1/chat/completions` without streaming."""
    return _read_whole(body, "message")


def read_completion_whole(body: bytes) -> Whole:
    """The answer of `/v1/completions` without streaming."""
    return _read_whole(body, None)


def json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; raises UnreadableAnswer with what was got."""
    try:
        found = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = _lenient(text)
    if not isinstance(found, dict):
        raise UnreadableAnswer(f"got {_shown(text)}; expected a JSON object")
    return found


def _lenient(text: str | bytes) -> Any:
    """As Python reads it, which takes NaN too, and says what is wrong."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer(
            f"got {_shown(text)}, which is no JSON ({one_line(str(error), 60)}); expected an object"
        ) from None


def error_in(found: Mapping[str, Any]) -> str | None:
    """The server's words of an error, as OpenAI, FastAPI, TGI, llama.cpp and older vLLM put them; None where none."""
    error = found.get("error")
    if error is None and found.get("object") == "error":
        error = found
    if error is None:
        error = found.get("detail")
    if not error:
        return None
    if isinstance(error, dict):
        words = error.get("message") or json.dumps(error)
        kind = error.get("type") or error.get("code")
        return f"{words} ({kind})" if kind else str(words)
    kind = found.get("error_type")
    return f"{error} ({kind})" if kind else str(error)


def usage_in(found: Mapping[str, Any]) -> Usage | None:
    """The usage of an event or answer, with llama.cpp's `timings` beside it; None where there is none."""
    usage = found.get("usage")
    if usage is None and "timings" not in found:
        return None
    timings = timings_in(found)
    if not isinstance(usage, dict):
        return Usage(timings=timings) if timings else None
    prompt, completion = _mapping(usage, "prompt_tokens_details"), _mapping(usage, "completion_tokens_details")
    return Usage(
        prompt=whole(usage, "prompt_tokens"),
        completion=whole(usage, "completion_tokens"),
        cached=whole(prompt, "cached_tokens"),
        reasoning=whole(completion, "reasoning_tokens"),
        timings=timings,
    )


def timings_in(found: Mapping[str, Any]) -> dict[str, float] | None:
    """What a server measured, in nanoseconds by name: fields of `timings` that end with `_ms`, `_s` or `_ns`."""
    timings = found.get("timings")
    if not isinstance(timings, dict):
        return None
    units_ns = {"_ms": units.NS_PER_MS, "_ns": 1, "_s": units.NS_PER_S}
    read: dict[str, float] = {}
    for name, value in timings.items():
        ending = next((one for one in units_ns if str(name).endswith(one)), None)
        if ending is not None and type(value) in (int, float):
            read[f"{str(name).removesuffix(ending)}_ns"] = float(value) * units_ns[ending]
    return read or None


def whole(found: Mapping[str, Any], name: str) -> int | None:
    """A whole number of 0 or more; None where it is not there or something else."""
    value = found.get(name)
    return value if type(value) is int and value >= 0 else None


def _read_event(data: str, delta: str | None) -> Part:
    if data == DONE or data.strip() == DONE:
        return _DONE_PART
    found = json_object(data)
    usage, model = usage_in(found), found.get("model")
    choices = found.get("choices")
    if not choices:
        error = error_in(found)
        if error is not None:
            return Part("error", error=error)
        if usage is None and choices is None:
            raise UnreadableAnswer(f"got {_shown(data)}; expected `choices`, `usage` or `error` in it")
        return Part("usage" if usage is not None else "other", usage=usage, model=_text(model))
    choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else None
    if choice is None:
        raise UnreadableAnswer(f"got {_shown(data)}; expected a list of objects as `choices`")
    if choice.get("index", 0) != 0:  # another answer to the same request, which nobody asked for
        return _EMPTY
    kind, text, reasoning = _pieces(choice, delta, data)
    return Part(
        kind,
        text,
        reasoning,
        ids=_ids(choice),
        finish_reason=_text(choice.get("finish_reason")),
        usage=usage,
        model=_text(model),
    )


def _pieces(choice: Mapping[str, Any], name: str | None, data: str) -> tuple[Kind, str, str]:
    """The kind of a choice, its text, and its reasoning."""
    if name is None:
        text = choice.get("text")
        if not isinstance(text, str):
            raise UnreadableAnswer(f"got {_shown(data)}; expected `text` in its choice")
        return "text", text, ""
    delta = choice.get(name)
    if delta is None:
        delta = {}
    if not isinstance(delta, dict):
        raise UnreadableAnswer(f"got {_shown(data)}; expected an object as `{name}` of its choice")
    text = _content(delta.get("content")) or _text(delta.get("refusal")) or ""
    reasoning = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")) or ""
    if text:
        return "text", text, reasoning
    if reasoning:
        return "reasoning", "", reasoning
    call = _tool(delta)
    if call is not None:
        return "tool", call, ""
    if "role" in delta:
        return "role", "", ""
    return ("text" if "content" in delta else "other"), "", ""


def _content(content: Any) -> str:
    """Text, which a few servers give as a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) or "" for part in content if isinstance(part, dict))
    return _text(content) or ""


def _tool(delta: Mapping[str, Any]) -> str | None:
    """Names and arguments of a delta's calls of tools, in order; None where there are none."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return None
    functions = [_mapping(call, "function") for call in calls if isinstance(call, dict)]
    return "".join((_text(one.get("name")) or "") + (_text(one.get("arguments")) or "") for one in functions)


def _ids(choice: Mapping[str, Any]) -> tuple[int, ...] | None:
    ids = choice.get("token_ids")
    known = isinstance(ids, list) and all(type(one) is int for one in ids)
    return tuple(ids) if known and isinstance(ids, list) else None


def _read_whole(body: bytes, name: str | None) -> Whole:
    found = json_object(body)
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        error = error_in(found)
        raise UnreadableAnswer(error or f"got {_shown(body)}; expected `choices` in it")
    choice = choices[0]
    kind, text, reasoning = _pieces(choice, name, body.decode(errors="replace"))
    message = choice.get(name) if name else None
    tool = _tool(message) if isinstance(message, dict) else None
    return Whole(
        "" if kind == "tool" else text,
        reasoning,
        _ids(choice),
        _text(choice.get("finish_reason")),
        usage_in(found),
        _text(found.get("model")),
        tool or "",
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _shown(text: str | bytes) -> str:
    plain = text[: 4 * SHOWN].decode(errors="replace") if isinstance(text, bytes) else text
    return repr(one_line(plain, SHOWN))
