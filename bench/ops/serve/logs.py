"""The client's log of a load in the forms that are stored and judged: as `generate` has it, and as tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnlab.bench.llm.generation.logs import CallLog, RequestLog
from attnlab.bench.llm.generation.served import Delivery, LoadLog
from attnlab.bench.ops.serve.told import FINISHES, OTHER, Told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnlab.bench.ops.serve.inputs import ServeOutputs
    from attnlab.bench.ops.serve.salt import Salt
    from attnlab.bench.serving.log import Served, ServedLog

NEVER_SENT = "it was never sent"
QUEUE = "queue_ns"
PREFILLS = ("prefill_ns", "prompt_ns")  # as ours says it, and llama.cpp


def call_log(outputs: ServeOutputs) -> CallLog:
    """The requests of a call as `generate` has them, times since the call began, whichever of them were sent."""
    log, offset_ns = outputs.log, outputs.offset_ns
    served = {one.number: one for one in log.requests}
    return CallLog(tuple(_request(served.get(n), log, offset_ns) for n in range(len(outputs.asked))))


def _request(one: Served | None, log: ServedLog, offset_ns: float) -> RequestLog:
    if one is None:
        return RequestLog(offset_ns + log.ended_ns, 0, (), (), failure=NEVER_SENT)
    made = one.request_log()
    times_ns = tuple(offset_ns + time_ns for time_ns in made.times_ns)
    prompt = (one.usage.prompt if one.usage is not None else None) or made.prompt_tokens
    return replace(made, arrival_ns=offset_ns + made.arrival_ns, times_ns=times_ns, prompt_tokens=prompt)


def load_log(outputs: ServeOutputs) -> LoadLog:
    """What only a client knows of a call, times since the call began."""
    log, offset_ns = outputs.log, outputs.offset_ns
    served = {one.number: one for one in log.requests}
    window = log.window
    return LoadLog(
        tuple(_delivery(served.get(n), offset_ns) for n in range(len(outputs.asked))),
        tuple(map(float, log.lag_ns)),
        tuple(map(float, log.loop_lag_ns)),
        log.late,
        None if window is None else (offset_ns + window.begin_ns, offset_ns + window.end_ns),
    )


def _delivery(one: Served | None, offset_ns: float) -> Delivery:
    if one is None:
        return Delivery(attempts=0, counted_by="chunks")
    timings = (one.usage.timings if one.usage is not None else None) or {}
    return Delivery(
        sent_ns=None if one.sent_ns is None else offset_ns + one.sent_ns,
        headers_ns=None if one.headers_ns is None else offset_ns + one.headers_ns,
        connect_ns=None if one.sent_ns is None else float(one.connecting_ns),
        queue_ns=timings.get(QUEUE),
        cached_tokens=None if one.usage is None else one.usage.cached,
        attempts=one.attempts,
        counted_by=one.counted_by,
        prefill_ns=next((timings[name] for name in PREFILLS if name in timings), None),
    )


def told_of(log: ServedLog, salts: Sequence[Salt]) -> list[Told]:
    """What is judged of each request; one that was never sent has failed."""
    served = {one.number: one for one in log.requests}
    return [_told(served.get(number), salt) for number, salt in enumerate(salts)]


def _told(one: Served | None, salt: Salt) -> Told:
    if one is None or one.failure is not None:
        return Told(None, b"", None, None, OTHER, True, 0, salt)
    text = f"{one.reasoning}{one.text}{one.tool}".encode()
    finish = FINISHES.get(one.finish_reason or "", OTHER)
    usage = one.usage
    prompt, completion = (None, None) if usage is None else (usage.prompt, usage.completion)
    return Told(one.ids or None, text, prompt, completion, finish, False, len(text), salt)
