"""A trace of requests as a file: when each came, and, where the file says it, its lengths and what it shares.

Read are the plain list of times that `generate` reads (a time in seconds a line), and JSON lines as public traces have
them. The names of fields:

| field | names | unit |
| --- | --- | --- |
| time | `time_s`; `timestamp` (Mooncake and those after it) | s; ms |
| prompt | `prompt_tokens`, `input_length`, `input_tokens` | tokens |
| answer | `answer_tokens`, `output_length`, `output_tokens` | tokens |
| shared prefix | `prefix`; `hash_ids`, one a block of 512 tokens | an id; a list of ids |
| conversation | `conversation`, `session_id` | an id |
| think time | `think_s`; `delay` | s; ms |
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.errors import TraceError
from attnlab.bench.llm.generation.arrivals import check_trace, read_trace
from attnlab.bench.text import one_line

BLOCK_TOKENS = 512
"""Tokens that one of a trace's `hash_ids` stands for, as Mooncake published them."""
_S, _MS = 1.0, units.NS_PER_MS / units.NS_PER_S
_TIMES = {"time_s": _S, "timestamp": _MS}
_THINKS = {"think_s": _S, "delay": _MS}
_PROMPTS = ("prompt_tokens", "input_length", "input_tokens")
_ANSWERS = ("answer_tokens", "output_length", "output_tokens")
_CONVERSATIONS = ("conversation", "session_id")


@dataclass(frozen=True)
class TraceRow:
    """One request of a trace; None is what the file does not say.

    time_s: seconds since the trace's first request. blocks: ids of the prompt's blocks of 512 tokens, from its
    beginning: two requests share a prefix as far as their blocks are equal. prefix: the id of a prefix that all with
    the same one share. conversation: requests with one id are turns, in order; think_s goes before a turn.
    """

    time_s: float
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    blocks: tuple[int, ...] | None = None
    prefix: str | None = None
    conversation: str | None = None
    think_s: float = 0.0


def read_rows(path: Path, count: int | None = None) -> tuple[TraceRow, ...]:
    """The requests of a trace, or its first so many, its times rising from 0; raises TraceError with file and line."""
    check_trace(path)
    first = _first_line(path)
    if first.startswith("{"):
        rows = list(_json_rows(path, count))
    else:
        rows = [TraceRow(time_s) for time_s in read_trace(path, count)]
        return tuple(_enough(path, rows, count))
    rows = _enough(path, rows, count)
    begun_s = rows[0].time_s
    return tuple(_from(row, begun_s) for row in rows)


def _from(row: TraceRow, begun_s: float) -> TraceRow:
    fields = (row.prompt_tokens, row.answer_tokens, row.blocks, row.prefix, row.conversation, row.think_s)
    return TraceRow(row.time_s - begun_s, *fields)


def _enough(path: Path, rows: list[TraceRow], count: int | None) -> list[TraceRow]:
    if count is not None and len(rows) < count:
        raise TraceError(f"{path}: got {len(rows)} requests for {count}; give as many or more")
    return rows[:count]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that hold something."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise TraceError(f"{path}: the trace cannot be read: {reason}; give a text file") from error


def _first_line(path: Path) -> str:
    return next((line for _, line in _lines(path)), "")


def _json_rows(path: Path, count: int | None) -> Iterator[TraceRow]:
    before_s = -math.inf
    for taken, (number, line) in enumerate(_lines(path)):
        if taken == count:
            return
        place = f"{path}:{number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TraceError(
                f"{place}: got what is no JSON ({one_line(str(error))}); expected an object a line"
            ) from None
        if not isinstance(found, dict):
            raise TraceError(f"{place}: got {one_line(line, 80)}; expected an object such as {EXAMPLE}")
        row = _row(found, place)
        if row.time_s < before_s:
            raise TraceError(f"{place}: got a time of {row.time_s:g} s after {before_s:g} s; sort the trace by time")
        before_s = row.time_s
        yield row


def _row(found: Mapping[str, Any], place: str) -> TraceRow:
    time_s = _time(found, _TIMES, place)
    if time_s is None:
        raise TraceError(f"{place}: got no time; expected time_s in seconds or timestamp in ms, such as {EXAMPLE}")
    blocks = found.get("hash_ids")
    if blocks is not None and not (isinstance(blocks, list) and all(type(one) is int for one in blocks)):
        raise TraceError(f"{place}: got hash_ids that are no list of whole numbers; expected such as [0, 1, 2]")
    prompt, answer = _tokens(found, _PROMPTS, place), _tokens(found, _ANSWERS, place)
    prefix = found.get("prefix")
    conversation = next((found[name] for name in _CONVERSATIONS if found.get(name) is not None), None)
    return TraceRow(
        time_s,
        prompt,
        answer,
        None if blocks is None else tuple(blocks),
        None if prefix is None else str(prefix),
        None if conversation is None else str(conversation),
        _time(found, _THINKS, place) or 0.0,
    )


def _time(found: Mapping[str, Any], names: Mapping[str, float], place: str) -> float | None:
    for name, unit_s in names.items():
        value = found.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise TraceError(f"{place}: got {name}={one_line(repr(value), 40)}; expected a finite number of 0 or more")
        return value * unit_s
    return None


def _tokens(found: Mapping[str, Any], names: tuple[str, ...], place: str) -> int | None:
    for name in names:
        value = found.get(name)
        if value is None:
            continue
        if type(value) is not int or value < 1:
            raise TraceError(f"{place}: got {name}={one_line(repr(value), 40)}; expected a whole number of 1 or more")
        return value
    return None


EXAMPLE = '{"timestamp": 1500, "input_length": 600, "output_length": 40, "hash_ids": [0, 1]}'
