"""A made-up run of servers, for tests of reports: a queue with one server behind it; no figure in it was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from attnlab.bench.llm.generation.events import CallLog, RequestLog, series_of
from attnlab.bench.llm.generation.served import Delivery, LoadLog, series_of_load
from attnlab.bench.ops.serve.case import ServeCase
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series
from attnlab.bench.store.run_folder import StoredRun

from . import synthetic

MS = 1e6
ROUNDS = 6
DRIFT = (1.0, 1.3, 0.9, 1.1, 1.6, 1.0)  # of the machine, which all share
PREFILL_MS, STEP_MS, AT_ONCE = 60.0, 15.0, 4  # of a request; of a token; requests that are served together


@dataclass(frozen=True)
class Ways:
    """What an endpoint adds: to the first token and to each gap, in ms; late_ms: of the client's sending."""

    first_ms: float = 0.0
    gap_ms: float = 0.0
    late_ms: float = 0.02
    told: bool = True


def case(**axes: Any) -> ServeCase:
    given: dict[str, Any] = {"model": "toy", "prompts": "random", "prompt_len": 32, "new_tokens": 12}
    return ServeCase.build({**given, "dtype": "float32", **axes})


def call(of: ServeCase, ways: Ways, drift: float, fails: int | None = None) -> tuple[CallLog, LoadLog]:
    """Requests are served by turns in the order in which they come, so many at a time."""
    free = [0.0] * AT_ONCE
    logs, deliveries = [], []
    due_s = of.due_s(3) if of.load.is_open else [0.0] * of.requests
    closed = [0.0] * (of.load.at_once or 1)
    for number, due in enumerate(due_s):
        place = min(range(len(closed)), key=closed.__getitem__)
        due_ms = due * 1e3 if of.load.is_open else closed[place]
        sent_ms = due_ms + ways.late_ms
        slot = min(range(AT_ONCE), key=free.__getitem__)
        begun_ms = max(sent_ms, free[slot])
        cached = of.prompt_len.most - 1 if of.prefix == "warm" else 0
        prefill_ms = PREFILL_MS * (0.2 if cached else 1.0) * drift
        first_ms = begun_ms + prefill_ms + ways.first_ms
        gap_ms = STEP_MS * drift + ways.gap_ms
        tokens = of.new_tokens.most
        times = tuple((first_ms + n * gap_ms) * MS for n in range(tokens))
        if number == fails:
            times, tokens = times[:3], 3
        failure = "reset" if number == fails else None
        free[slot] = closed[place] = times[-1] / MS
        logs.append(RequestLog(due_ms * MS, of.prompt_len.most, times, tuple(range(1, tokens + 1)), failure=failure))
        queue_ns = (begun_ms - sent_ms) * MS if ways.told else None
        deliveries.append(
            Delivery(
                sent_ms * MS,
                (sent_ms + 0.4) * MS,
                0.0,
                queue_ns,
                cached if ways.told else None,
                prefill_ns=prefill_ms * MS if ways.told else None,
            )
            if ways.first_ms
            else Delivery(sent_ms * MS, counted_by="ids")
        )
    lag = tuple(ways.late_ms * MS for _ in logs)
    return CallLog(tuple(logs)), LoadLog(tuple(deliveries), lag, (0.1 * MS,), ways.late_ms > 1)


def measurement(
    name: str, of: ServeCase, ways: Ways = Ways(1.2, 0.3), shift_s: float = 0.0, fails: int | None = None
) -> Measurement:
    bursts = []
    for number, drift in enumerate(DRIFT):
        log, load = call(of, ways, drift, fails if number == 0 else None)
        whole = Series("latency", "ns", "wall", "lower", (max(one.times_ns[-1] for one in log.requests),))
        bursts.append(Burst(1.7e9 + 60 * number + shift_s, (whole, *series_of(log), *series_of_load(load))))
    return Measurement(
        operator="serve",
        implementation=name,
        case=of.values(),
        case_id=of.id,
        outcome=Outcome.PASSED,
        timing=synthetic.timing(),
        launches=(Launch(1, tuple(bursts)),),
    )


def run_of(found: tuple[Measurement, ...]) -> StoredRun:
    names = tuple(dict.fromkeys(m.implementation for m in found))
    bench = BenchRecord("serve", names, None, tuple(dict.fromkeys(m.case_id for m in found)), rounds=ROUNDS)
    made: StoredRun = synthetic.stored_run(benches=(bench,))
    return replace(made, measurements=found, damages=())


RATES = (2, 4, 8, 12, 16, 24, 48)


def swept() -> tuple[Measurement, ...]:
    """Rates and requests at a time, an endpoint beside the engine, cold beside warm, and one that failed."""
    rates = [measurement("openai_chat", case(load=f"poisson:{rate}", requests=40), fails=7) for rate in RATES]
    held = [
        measurement(name, case(load=f"concurrency:{n}", requests=24), ways, shift)
        for n in (1, 2, 4, 8)
        for name, ways, shift in (("openai_chat", Ways(1.2, 0.3), 0.0), ("in_process", Ways(), 10.0))
    ]
    warm = measurement("openai_chat", case(load="concurrency:4", requests=24, prefix="warm"), shift_s=20.0)
    return (*rates, *held, warm)
