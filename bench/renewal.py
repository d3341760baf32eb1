"""Renews inputs before timed calls, and keeps what some of the calls returned, so that they can be judged.

Which calls those are nobody can foresee. A few have contents that all implementations of the case meet in a run, so
that what is expected of them is computed once. After others the call is made again, untimed, on the same inputs: one
that is wrong now and then differs from the one after it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnlab.bench.axes import Case
from attnlab.bench.contents import AnyOperator, Content, Contents, Place, derived

if TYPE_CHECKING:
    from attnlab.bench.registry import Implementation

Outputs = tuple[Tensor, ...]

SHARED = 4  # contents that each implementation of a case is judged on, the last of them after all timing
SPREAD = 8  # each comes up to so many times later than the one before
AGAIN = 100  # calls that are made again, about
OFTEN = 0.25  # the chance of a call to be made again, among the first
SHARE = 0.25  # of the time, for calls that are made again
DOUBTS = 3  # of the calls that differed most from the call after them: those are judged too


@dataclass(frozen=True)
class Kept:
    """What one timed call returned, on which content; and contents that its inputs had before, as it may be theirs."""

    content: Content
    outputs: Outputs
    before: tuple[Content, ...]
    difference: float = 0.0


class Copy:
    """One set of inputs with its state, what it holds, and the output of the last timed call on it, if any."""

    def __init__(self, implementation: Implementation, inputs: Any, state: Any, content: Content) -> None:
        self.inputs, self.content = inputs, content
        self._run, self._state = implementation.run, state
        self.before: tuple[Content, ...] = (content,)
        self.outputs: Any = None
        self.renewal: Renewal | None = None

    def __call__(self) -> None:
        self.outputs = self._run(self.inputs, self._state)

    def again(self) -> Any:
        """What another call on the same inputs returns."""
        return self._run(self.inputs, self._state)

    def renew(self) -> None:
        """New content in the dynamic tensors, outside all spans; what the last call returned is looked at before."""
        if self.renewal is not None:
            self.renewal.renew(self)


class Renewal:
    """The contents of one case's calls in one process, and what is kept of their outputs.

    results(inputs, returned): what is judged of what a call returned; raises where it is not what the contract asks
    for. secret: a number of this run that implementations do not know. Where calls are observed they take seconds, and
    those of all processes of a run meet the same contents in the same order, so that they can be compared.
    """

    def __init__(
        self,
        operator: AnyOperator,
        case: Case,
        copies: Iterable[Copy],
        results: Callable[[Any, Any], Outputs],
        secret: int,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._copies, self._results, self._now_ns = list(copies), results, now_ns
        self._in_order = operator.observe is not None
        self._derived_from = secret, operator.name, case.id
        self._contents = Contents(operator, case, self._copies[0].inputs, now_ns)
        self._places = {id(copy): Place(operator, case, copy.inputs) for copy in self._copies}
        self._random = random.SystemRandom()
        self._open: list[tuple[Copy, str]] = []
        self._kept: list[Kept] = []
        self._doubts: list[Kept] = []
        self._shared: list[tuple[int, Content]] = []
        for copy in self._copies:
            copy.renewal = self
        self._start("warm-up")

    def begin(self) -> None:
        """Timing begins: calls before were to warm up."""
        self.settle()
        self._kept = []
        self._start("call")

    def _seed(self, use: str, number: int) -> int:
        """A seed that is the same in all processes of a run."""
        return derived(*self._derived_from, use, number)

    def _start(self, phase: str) -> None:
        self._phase, self._calls, self._begun_ns, self._again_ns = phase, 0, self._now_ns(), 0
        first = 0
        self._shared = []
        for number in range(0 if self._in_order or phase == "warm-up" else SHARED):
            base = self._copies[number % min(2, len(self._copies))].content.base
            place = self._random.randrange(first, max(first * SPREAD, SPREAD))
            self._shared.append((place, Content(base, self._seed("shared", number))))
            first = max(first * SPREAD, SPREAD)

    def renew(self, copy: Copy) -> None:
        """Settle the calls before, and give the copy a content that no call had."""
        self.settle()
        content, use = self._next(copy)
        self._calls += 1
        copy.outputs = None
        self.put(copy, content)
        self._open.append((copy, use))

    def put(self, copy: Copy, content: Content) -> None:
        """Write a content into a copy's inputs, and remember it."""
        self._contents.write(self._places[id(copy)], content)
        copy.before = tuple(dict.fromkeys((*copy.before[:2], copy.content)))
        copy.content = content

    def holding(self, content: Content) -> Any:
        """Inputs that hold a content which a copy had."""
        copy = next(copy for copy in self._copies if copy.content.base == content.base)
        self.put(copy, content)
        return copy.inputs

    def settle(self) -> None:
        """Keep, or compare with another call, what calls since their renewal returned."""
        opened, self._open = self._open, []
        for copy, use in opened:
            if copy.outputs is None or not use:
                continue
            outputs = tuple(out.clone() for out in self._results(copy.inputs, copy.outputs))
            kept = Kept(copy.content, outputs, copy.before)
            if use == "judge":
                self._kept.append(kept)
            else:
                self._compare(copy, kept)

    def finished(self) -> list[Kept]:
        """What has to be judged, after calls on the contents that are left; nothing is kept afterwards."""
        self._open = [(copy, use or "again") for copy, use in self._open]  # of each copy the last call, whichever it is
        self.settle()
        if self._phase == "warm-up":
            self._start("call")
        if self._in_order:
            self._kept = [*self._random.sample(self._kept[:-1], min(1, len(self._kept[:-1]))), *self._kept[-1:]]
        if any(copy.outputs is not None for copy in self._copies):
            for _, content in self._shared:
                copy = next(copy for copy in self._copies if copy.content.base == content.base)
                self.put(copy, content)
                copy()
                outputs = tuple(out.clone() for out in self._results(copy.inputs, copy.outputs))
                self._kept.append(Kept(content, outputs, copy.before))
        kept, self._kept, self._doubts = [*self._kept, *self._doubts], [], []
        return kept

    def _next(self, copy: Copy) -> tuple[Content, str]:
        """A content, and what becomes of the output: "judge", "again" or "" for nothing."""
        base = copy.content.base
        if self._in_order:
            return Content(base, self._seed(self._phase, self._calls)), "judge"
        for due in self._shared[:-1]:
            if due[0] <= self._calls and due[1].base == base:
                self._shared.remove(due)
                return due[1], "judge"
        return self._contents.next(base), "again" if self._may_be_made_again() else ""

    def _may_be_made_again(self) -> bool:
        """By chance, less often the more calls there were, within a share of the time."""
        if not self._calls:
            return False
        passed = self._now_ns() - self._begun_ns
        chance = min(OFTEN, OFTEN * AGAIN / self._calls)
        return self._again_ns + passed / self._calls <= SHARE * passed and self._random.random() < chance

    def _compare(self, copy: Copy, kept: Kept) -> None:
        """Call again; where that differs, the call is one to be judged, if few differed more."""
        begun = self._now_ns()
        others = self._results(copy.inputs, copy.again())
        differences = [difference(a, b) for a, b in zip(kept.outputs, others, strict=True)]
        self._again_ns += self._now_ns() - begun
        if any(differences):
            doubt = Kept(kept.content, kept.outputs, kept.before, max(differences))
            self._doubts = sorted([*self._doubts, doubt], key=lambda kept: -kept.difference)[:DOUBTS]


def difference(a: Tensor, b: Tensor) -> float:
    """0 where two outputs are alike to the bit; else how far they are apart, over the size of the first.

    Of numbers: root mean square; infinite where one is not finite. Of whole numbers: the share that differs.
    """
    if torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8)):
        return 0.0
    if not a.is_floating_point():
        return float((a != b).double().mean())
    apart, size = (float(x.double().square().mean().sqrt()) for x in (a.double() - b.double(), a))
    far = apart / (size or 1.0)
    return far if far < float("inf") else float("inf")
