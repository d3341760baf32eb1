"""The worker process: measures one implementation on the cases that its parent names, one after another or in turn."""

from __future__ import annotations

import resource
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attnlab.bench.machine.ballast import Ballast
from attnlab.bench.measuring.channel import Channel
from attnlab.bench.measuring.profile_order import ProfileOrder
from attnlab.bench.store.codec import decode, encode

if TYPE_CHECKING:
    from attnlab.bench.contract.meddling import Guard
    from attnlab.bench.measuring.harness import CaseInTurn
    from attnlab.bench.measuring.prepared_case import PreparedCase
    from attnlab.bench.measuring.settings import Apart
    from attnlab.bench.measuring.setup import Setup
    from attnlab.bench.measuring.stopping import Effort
    from attnlab.bench.store.records import Measurement


@dataclass(frozen=True)
class WorkerOrder:
    """What a worker is started with: which implementation, on what device, within which limits.

    turn: cases are only timed beside others, after they were checked elsewhere: of the check, that of what the timed
    calls returned is left. On a CPU each burst is taken on other ground in the heap than the last. outputs: the file in
    which it hands outputs over, one set at a time. profile: tools that take the call apart when it has been measured.
    configuration: what the implementation is given instead of its own. time_limit_s: when its parent ends it, of one
    request.
    """

    operator: str
    implementation: str
    module: str
    plugins: tuple[str, ...]
    device: str
    effort: dict[str, float]
    ceilings: dict[str, Any]
    seed: int
    memory_limit_bytes: int | None
    outputs: str
    untimed: str | None = None
    cache: str = "cold"
    secret: int = 0
    turn: bool = False
    profile: ProfileOrder | None = None
    configuration: dict[str, Any] | None = None
    time_limit_s: float | None = None


def main(answers_descriptor: int, parent: int) -> None:
    """Read the order, then a verb and a case id a line, until the requests end."""
    channel = Channel.connect(answers_descriptor, parent)
    order = decode(WorkerOrder, channel.read())
    limit_memory(order.device, order.memory_limit_bytes)
    with channel.telling_why_it_is_broken():
        session = _Session(order, channel)
    channel.send("ready", None)
    for verb, case_id in channel.requests():
        channel.send("measurement", encode(session.answer(verb, case_id)))


VERBS = ("measure", "open", "burst", "finish")
"""Measure a case from beginning to end; or make it ready, take one burst (as often as wanted), and finish it."""


class SetupOrder(Protocol):
    """What any worker's order says of how it is to measure."""

    @property
    def device(self) -> str: ...

    @property
    def ceilings(self) -> dict[str, Any]: ...

    @property
    def seed(self) -> int: ...

    @property
    def secret(self) -> int: ...


def make_setup(
    order: SetupOrder, channel: Channel, outputs: Path, effort: Effort, cache: str, guard: Guard, apart: Apart
) -> Setup:
    """A setup whose phases are told to the parent, to whom outputs are handed over in a file."""
    import torch

    from attnlab.bench.machine.clocks import clocks_for
    from attnlab.bench.measuring.judging.handing import HandedOver
    from attnlab.bench.measuring.setup import Setup
    from attnlab.bench.store.machine import Ceilings

    device, ask = torch.device(order.device), partial(channel.ask, "judge")
    return Setup(
        device=device,
        clocks=clocks_for(device, cache),
        ceilings=decode(Ceilings, order.ceilings),
        effort=effort,
        seed=order.seed,
        secret=order.secret,
        judging=lambda operator, case: HandedOver(case.id, outputs, ask),
        announce=partial(channel.send, "phase"),
        meddled=guard.changed,
        apart=apart,
    )


class _Session:
    def __init__(self, order: WorkerOrder, channel: Channel) -> None:
        from attnlab.bench.contract.meddling import Guard
        from attnlab.bench.contract.registry import discover_one, import_operators, registry
        from attnlab.bench.llm.generation.spans import record_spans
        from attnlab.bench.measuring.settings import Apart
        from attnlab.bench.measuring.stopping import Effort

        import_operators()
        if order.profile is not None:
            record_spans()
        guard, apart = Guard(), Apart()
        with apart.foreign():
            made = discover_one(order.operator, order.implementation, order.module, order.plugins)
            self._implementation = made if order.configuration is None else made.configured(order.configuration)
        self._operator = registry.operators.get(order.operator)
        self._in_turn: dict[str, tuple[CaseInTurn, ExitStack]] = {}
        self._turn, self._order = order.turn, order
        self._ballast = Ballast() if order.turn and order.device == "cpu" else None
        effort = Effort(**order.effort)  # type: ignore[arg-type]
        setup = make_setup(order, channel, Path(order.outputs), effort, order.cache, guard, apart)
        mark = partial(channel.ask, "mark")
        self._setup = replace(setup, untimed=order.untimed, memory=not order.turn, mark=mark)

    def answer(self, verb: str, case_id: str) -> Measurement:
        """What is known of a case after a verb of `VERBS`."""
        from attnlab.bench.measuring.harness import CaseInTurn, time_case
        from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS
        from attnlab.bench.ranks import deadline

        deadline.begin(self._order.time_limit_s)
        if verb == "measure":
            if self._order.profile is not None:
                return self._profiled(case_id, self._order.profile)
            with self._prepared(case_id) as prepared:
                return time_case(prepared)
        if verb == "open":
            stack = ExitStack()
            turn = CaseInTurn(stack.enter_context(self._prepared(case_id)))
            self._in_turn[case_id] = turn, stack
            return turn.warm_up()
        if verb == "burst":
            return self._burst(self._in_turn[case_id][0])
        turn, stack = self._in_turn.pop(case_id)
        with stack:
            return turn.finish(STOPPED_BY_ROUNDS)

    def _burst(self, turn: CaseInTurn) -> Measurement:
        if self._ballast is not None:
            self._ballast.shift()
            turn.pass_over()
        return turn.burst()

    def _profiled(self, case_id: str, wanted: ProfileOrder) -> Measurement:
        from attnlab.bench.measuring.profiling import WRONG, measure_and_profile, profile_unchecked
        from attnlab.bench.profilers.profiled_call import Origin

        order = self._order
        origin = Origin(order.operator, order.implementation, order.module, case_id, order.plugins, order.seed)
        with self._prepared(case_id) as prepared:
            claim = measure_and_profile(prepared, wanted, origin)
        if wanted.unchecked and claim.outcome in WRONG:
            with self._prepared(case_id, check=False) as prepared:
                profile_unchecked(prepared, wanted, origin)
        return claim

    def _prepared(self, case_id: str, check: bool = True) -> AbstractContextManager[PreparedCase]:
        from attnlab.bench.measuring.harness import prepared_case

        case = self._operator.case_type.parse(case_id)
        return prepared_case(self._operator, case, self._implementation, self._setup, check and not self._turn)


def limit_memory(device: str, limit_bytes: int | None) -> None:
    """On the CPU the data segment's size, on CUDA the allocator's share of the device."""
    if limit_bytes is None:
        return
    if device == "cuda":
        import torch

        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total))
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
