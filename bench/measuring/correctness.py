"""Takes one implementation through the checks of a case: calls it, and hands over what it returned to be judged."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import Content, write
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, tensors
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import Unavailable
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.judging.court import AnyOperator, digest_of
from attnlab.bench.measuring.judging.handing import Judges, question
from attnlab.bench.measuring.judging.plain import take
from attnlab.bench.measuring.judging.refusals import LATE, Rejected
from attnlab.bench.measuring.judging.verdicts import TIMED, Owed
from attnlab.bench.measuring.output_reader import OutputReader
from attnlab.bench.measuring.renewal import KeptCall
from attnlab.bench.store.records import Outcome
from attnlab.bench.units import NS_PER_MS, ns_to_seconds

WATCHED_NS = (
    NS_PER_MS,
    20 * NS_PER_MS,
)  # an output is watched after its call for as long as that took, within this


Foreign = Callable[[], contextlib.AbstractContextManager[None]]


@dataclass
class Checker:
    """Checks one implementation on one case; each `check_…` raises Rejected at the first fault.

    foreign: code of the implementation runs inside, by the settings of its own (see `settings.Apart`).
    """

    operator: AnyOperator
    case: Case
    implementation: Implementation
    judge: Judges
    device: torch.device
    foreign: Foreign = contextlib.nullcontext

    @property
    def reader(self) -> OutputReader:
        """Reads what calls return."""
        return OutputReader(self.operator, self.case, self.device)

    def check(self, inputs: Any, state: Any, owed: Iterable[Owed]) -> None:
        """All sets of inputs that are owed (see `verdicts.owed`).

        Data is drawn anew in place into `inputs`, whose seed is the base of its contents: what `prepare` or a call
        before saw is gone. Needles are inputs of their own.
        """
        for name, draw, content in owed:
            if draw == NORMAL_DRAW:
                write(self.operator, self.case, inputs, content)  # as the judge does
                self._run_and_judge(name, inputs, state, draw, content, (inputs,))
            else:
                self._check_needles(name, draw, content)

    def _check_needles(self, name: str, draw: str, content: Content) -> None:
        """On inputs of their own, which may be of another case: it is set up for that."""
        case = self.served(self.operator.needle_cases(self.case, content.seed))
        inputs = self.operator.make_inputs(case, draw, content.seed, self.device)
        with self.foreign():
            state = self.implementation.prepare(case, inputs)
        others = self.operator.other_calls(case, inputs)
        replace(self, case=case)._run_and_judge(name, inputs, state, draw, content, others)

    def served(self, cases: Sequence[Case]) -> Case:
        """The first that the implementation serves; raises Unavailable where it is none of them."""
        with self.foreign():
            reasons = [None if case == self.case else self.implementation.supports(case) for case in cases]
        for case, reason in zip(cases, reasons, strict=True):
            if reason is None:
                return case
        raise Unavailable(f"it is checked on {cases[-1].id} too, which it does not serve: {reasons[-1]}")

    def check_timed(self, kept: KeptCall) -> None:
        """The outputs of a timed call."""
        rounds = self.implementation.rounds
        asked = question(TIMED, NORMAL_DRAW, kept.content, [kept.outputs], before=kept.before, rounds=rounds)
        self.judge.judge(asked, [kept.outputs])

    def _run_and_judge(
        self, name: str, inputs: Any, state: Any, draw: str, content: Content, others: Sequence[Any]
    ) -> None:
        """A call on the inputs, and one on each of the others, which is judged with it."""
        reader, specs = self.reader, self.operator.handed_over(self.case, draw)
        before = {field: tensor.clone() for field, tensor in tensors(inputs, "static", "dynamic").items()}
        with self.foreign(), poisoned_memory(inputs, enabled=not self.implementation.compiled):
            begun = now.perf_counter_ns()
            returned = self.implementation.run(inputs, state)
            results = reader.outputs(inputs, returned, specs)
            first = tuple(map(take, results))
            took_ns = now.perf_counter_ns() - begun
        now.sleep(ns_to_seconds(min(max(took_ns, WATCHED_NS[0]), WATCHED_NS[1])))
        if not all(a.same(b) for a, b in zip(first, tuple(map(take, results)), strict=True)):
            raise Rejected(Outcome.WRONG_VALUES, LATE)
        reader.attest(inputs, returned, begun, float(took_ns))
        self._judge_unchanged(inputs, before)
        calls = [first]
        for other in others:
            with self.foreign():
                calls.append(tuple(map(take, reader.outputs(other, self.implementation.run(other, state), specs))))
            self._judge_unchanged(inputs, before)
        asked = question(name, draw, content, calls, digest_of(inputs), rounds=self.implementation.rounds)
        self.judge.judge(asked, calls)

    def _judge_unchanged(self, inputs: Any, before: dict[str, Tensor]) -> None:
        self.reader.refuse_stray_writes(inputs)
        for field, tensor in tensors(inputs, "static", "dynamic").items():
            if not _same_bits(tensor, before[field]):
                raise Rejected(Outcome.WRONG_VALUES, f"changed its input {field}, which must come back as it was")


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return take(a).same(take(b))


@contextlib.contextmanager
def poisoned_memory(inputs: Any, enabled: bool = True) -> Iterator[None]:
    """Fresh memory is NaN inside, so that an element never written shows.

    torch fills what it allocates; on CUDA, blocks of the inputs' sizes are also filled and freed,
    for kernels that take their memory from the allocator themselves.
    """
    if not enabled:
        yield
        return
    for tensor in tensors(inputs).values():
        if tensor.is_cuda and tensor.is_floating_point() and tensor.element_size() > 1:
            torch.full_like(tensor, math.nan)
    filling: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), filling.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")  # not use_deterministic_algorithms: it imports the compiler, 2 s
    filling.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        filling.fill_uninitialized_memory = before[1]
