"""The same load without HTTP: requests are put to a live engine of this process, one pass after another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attnlab.bench import units
from attnlab.bench.contract.needs import missing
from attnlab.bench.contract.registry import OURS, discover_one, registry
from attnlab.bench.errors import Unavailable, UnknownName
from attnlab.bench.llm.generation.live import FinishReason, LiveRequest
from attnlab.bench.llm.models.prompts import RANDOM
from attnlab.bench.llm.sampling_params import SamplingParams
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import weights_of
from attnlab.bench.ops.serve.case import ServeCase
from attnlab.bench.ops.serve.inputs import ServeInputs, ServeOutputs
from attnlab.bench.ops.serve.tokenizers import tokenizer_for
from attnlab.bench.serving.asked import Asked, checked, conversations, joined
from attnlab.bench.serving.endpoint import Kind, Usage
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.log import Arrivals, Served, ServedLog

if TYPE_CHECKING:
    from attnlab.bench.llm.generation.live import Beginning, LiveEngine, LiveEvent
    from attnlab.bench.llm.models.tokenizer import Tokenizer
    from attnlab.bench.serving.load import Load

GREEDY = SamplingParams(temperature=0.0)
LONGEST_SLEEP_S = 0.05


@dataclass(eq=False)
class _Running:
    """One request that the engine has, by number: what came of it so far."""

    asked: Asked
    due_ns: int
    begun_ns: int
    sent_ns: int
    prompt_tokens: int
    times_ns: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    beginning: Beginning | None = None


class EngineDriver:
    """Puts loads to an engine. tokenizer: turns prompts into ids, as a server would; None where they come as ids."""

    def __init__(self, engine: LiveEngine, tokenizer: Tokenizer | None) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        self._next_id = 0

    def drive(self, asked: Sequence[Asked], load: Load, stream: bool) -> ServedLog:
        """What became of a load, in the form of the client's log; times since it began."""
        begun_ns = time.perf_counter_ns()
        run = _Run(asked, load)
        running: dict[int, _Running] = {}
        while not run.done:
            now_ns = time.perf_counter_ns() - begun_ns
            while (due := run.due(now_ns, len(running))) is not None:
                due_ns, one = due
                begin_ns = time.perf_counter_ns() - begun_ns
                self._add(one, due_ns, begin_ns, begun_ns, running, run)
            if not running:
                self._wait(run.next_ns, begun_ns)
                continue
            events = self._engine.step()
            at_ns = time.perf_counter_ns() - begun_ns
            for event in events:
                self._take(event, at_ns, running, run, stream)
        served = tuple(sorted(run.served, key=lambda one: one.number))
        return ServedLog(served, begun_ns, time.perf_counter_ns() - begun_ns, unsent=tuple(sorted(run.unsent)))

    def _add(
        self, one: Asked, due_ns: int, begin_ns: int, begun_ns: int, running: dict[int, _Running], run: _Run
    ) -> None:
        ids = one.prompt_ids if one.prompt_ids and not one.prompt else self._encoded(one)
        request = LiveRequest(
            id=self._next_id,
            prompt_ids=ids,
            max_tokens=one.max_tokens,
            params=one.sampling or GREEDY,
            seed=one.seed or 0,
            draw=one.number,
            stop_ids=frozenset(() if one.whole_length or self._tokenizer is None else self._tokenizer.eos_ids),
        )
        self._next_id += 1
        sent_ns = time.perf_counter_ns() - begun_ns
        refused = self._engine.limits.refuses(len(ids), one.max_tokens)
        if refused is not None:
            failure = Failure("server", refused)
            run.end(one, Served(one.number, due_ns, begin_ns, sent_ns, sent_ns, failure=failure), "")
            return
        self._engine.add(request)
        running[request.id] = _Running(one, due_ns, begin_ns, sent_ns, len(ids))

    def _encoded(self, one: Asked) -> Sequence[int]:
        assert self._tokenizer is not None, "of prompts of text"
        return self._tokenizer.encode(one.prompt)

    def _take(self, event: LiveEvent, at_ns: int, running: dict[int, _Running], run: _Run, stream: bool) -> None:
        one = running[event.id]
        one.beginning = event.beginning or one.beginning
        if event.token_ids:
            one.ids += event.token_ids
            one.times_ns.append(at_ns)
            one.counts.append(len(one.ids))
        if event.finish_reason is None:
            return
        del running[event.id]
        text = "" if self._tokenizer is None else self._tokenizer.decode(one.ids)
        run.end(one.asked, _served(one, event, at_ns, text, stream), text)

    def _wait(self, next_ns: int | None, begun_ns: int) -> None:
        left_ns = 0 if next_ns is None else next_ns - (time.perf_counter_ns() - begun_ns)
        if left_ns > 0:
            time.sleep(min(LONGEST_SLEEP_S, units.ns_to_seconds(left_ns)))


def _served(one: _Running, event: LiveEvent, at_ns: int, text: str, stream: bool) -> Served:
    times_ns, counts = (one.times_ns, one.counts) if stream else ([at_ns], [len(one.ids)])
    kinds: list[Kind] = ["text"] * len(times_ns)
    failed = event.finish_reason is FinishReason.FAILED
    begun = one.beginning
    timings = None if begun is None else {"queue_ns": begun.waited_ns, "prefill_ns": begun.prefill_ns}
    usage = Usage(one.prompt_tokens, len(one.ids), None if begun is None else begun.cached_tokens, timings=timings)
    return Served(
        number=one.asked.number,
        due_ns=one.due_ns,
        begun_ns=one.begun_ns,
        ended_ns=at_ns,
        sent_ns=one.sent_ns,
        arrivals=Arrivals(tuple(times_ns), (0,) * len(times_ns), tuple(kinds), tuple(counts)),
        text=text,
        finish_reason=None if event.finish_reason is None else event.finish_reason.value,
        usage=usage,
        counted_by="ids",
        split_by="ids",
        ids=tuple(one.ids),
        done=True,
        streamed=stream,
        failure=Failure("server", event.failure or "the engine failed") if failed else None,
        prompt_tokens=one.prompt_tokens,
    )


class _Run:
    """Which request comes next: of a closed loop when a place is free, of an open one when it is due."""

    def __init__(self, asked: Sequence[Asked], load: Load) -> None:
        self._chains = {chain[0].number: deque(chain) for chain in conversations(checked(asked))}
        self._load, self._left = load, len(asked)
        firsts = [chain[0] for chain in self._chains.values()]
        self._waiting = deque(firsts)
        self._chain_of = {one.number: first for first, chain in self._chains.items() for one in chain}
        self._turns: list[tuple[int, Asked]] = []
        self._freed_ns: deque[int] = deque([0] * load.concurrency)
        self.served: list[Served] = []
        self.unsent: list[int] = []

    @property
    def done(self) -> bool:
        return self._left == 0

    def due(self, now_ns: int, under_way: int) -> tuple[int, Asked] | None:
        """The next request that is due, and since when; None where none is."""
        for place, (due_ns, one) in enumerate(self._turns):
            if due_ns <= now_ns:
                del self._turns[place]
                return due_ns, one
        if not self._waiting:
            return None
        if self._load.closed:
            if not self._freed_ns:
                return None
            return self._freed_ns.popleft(), self._waiting.popleft()
        due_ns = round(units.seconds_to_ns(self._waiting[0].due_s))
        return (due_ns, self._waiting.popleft()) if due_ns <= now_ns else None

    @property
    def next_ns(self) -> int | None:
        """When the next is due, where nothing is under way."""
        known = [due_ns for due_ns, _ in self._turns]
        if self._waiting and not self._load.closed:
            known.append(round(units.seconds_to_ns(self._waiting[0].due_s)))
        return min(known, default=None)

    def end(self, one: Asked, served: Served, answer: str) -> None:
        """A request is over: its conversation goes on, or leaves its place to another."""
        self.served.append(served)
        self._left -= 1
        chain = self._chains[self._chain_of[one.number]]
        chain.popleft()
        if chain and served.failure is None:
            turn = joined(chain[0], one, answer)
            self._turns.append((served.ended_ns + round(units.seconds_to_ns(turn.think_s)), turn))
            return
        self._left -= len(chain)
        self.unsent += [turn.number for turn in chain]
        if self._load.closed:
            self._freed_ns.append(served.ended_ns)


MOST_CONTEXT = 2048  # as our server has it where nobody asks for more
LAYOUTS = (("paged:16", "continuous"), ("contiguous_bhsd", "static"))


class EngineEndpoint:
    """An implementation of `serve` that asks an engine of its own process, as our server would."""

    def supports(self, case: ServeCase) -> str | None:
        if not case.is_embedded:
            return f"server {case.server} is asked over HTTP: leave server out for an engine of this process"
        return None

    def prepare(self, case: ServeCase, inputs: ServeInputs) -> EngineDriver:
        tokenizer = tokenizer_for(case) if case.prompts != RANDOM else None
        return EngineDriver(live_engine(case), tokenizer)

    def run(self, inputs: ServeInputs, driver: EngineDriver) -> ServeOutputs:
        return inputs.drive_with(driver.drive)

    def configuration(self, case: ServeCase) -> str | None:
        return f"{case.engine}, {case.batch} at once, without HTTP"


def live_engine(case: ServeCase) -> LiveEngine:
    """The engine of a case as our server makes it; raises Unavailable."""
    import torch

    name, config = case.engine, case.config
    try:
        made = discover_one("generate", name, f"{OURS}.generate.{name}")
    except (ModuleNotFoundError, UnknownName):
        raise Unavailable(f"no implementation {name} of generate is known here; mend engine={name}") from None
    if made.live is None:
        own = ", ".join(one.name for one in registry.implementations("generate") if one.live is not None)
        raise Unavailable(f"{name} has no live engine, which a server needs; expected another (known here: {own})")
    context = min(config.context_length, max(MOST_CONTEXT, case.most_tokens))
    cases = [
        GenerateCase(
            model=case.model,
            prompts=RANDOM,
            dtype=case.dtype,
            batch=case.batch,
            prompt_len=context - 1,
            new_tokens=1,
            layout=layout,
            batching=batching,
        )
        for layout, batching in LAYOUTS
    ]
    reasons = [missing(made, describe_device("cpu")) or made.supports(one) for one in cases]
    of_generate = next((one for one, reason in zip(cases, reasons, strict=True) if reason is None), None)
    if of_generate is None:
        raise Unavailable(f"{made.key} cannot serve {case.model} here: {reasons[0]}")
    weights = weights_of(case.model, of_generate.torch_dtype, torch.device("cpu"))
    engine: LiveEngine = made.live(of_generate, weights.settled(1, of_generate.total))
    engine.set_up()  # as the server does before it tells its address
    return engine
