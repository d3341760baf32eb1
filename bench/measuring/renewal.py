"""Renews inputs before timed calls, and keeps what some of the calls returned, so that they can be judged.

Which calls those are nobody can foresee. A few have contents that all implementations of the case meet in a run, so
that what is expected of them is computed once. After others the call is made again, untimed, on the same inputs: one
that is wrong now and then differs from the one after it. Of those, drawn after they ended, one is judged in any case
where the oracle is quick.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import AnyOperator, Content, Contents, Own, Place, plainly
from attnlab.bench.contract.operator_spec import TensorSpec
from attnlab.bench.measuring.hooks import collect_again, refuse_hooks, stop_collecting
from attnlab.bench.measuring.judging.plain import Outputs, TensorBytes, rebuilt, take
from attnlab.bench.measuring.judging.refusals import SHARED_OUTPUT, Rejected
from attnlab.bench.store.records import Outcome

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Implementation

Returned = tuple[Tensor, ...]

SHARED = 4  # contents that each implementation of a case is judged on, the last of them after all timing
SPREAD = 8  # each comes up to so many times later than the one before
AGAIN = 100  # calls that are made again, about
OFTEN = 0.25  # the chance of a call to be made again, among the first
SHARE = 0.25  # of the time, for calls that are made again
REPEATS = 2  # calls that returned what one on other inputs had returned, in the places that are looked at: judged too
SAMPLED = 32  # numbers of an output that are looked at
UNFORESEEN_OPERATIONS = 2_000_000_000  # of a call, up to which one is judged of those that were drawn after they ended
CPU = torch.device("cpu")
DOUBTS = 3  # of the calls that differed most from the call after them: those are judged too


@dataclass(frozen=True)
class KeptCall:
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
    for. intact(inputs): raises where something else was written to. secret: a number of this run that implementations
    do not know. Where calls are observed they take seconds, and those of all processes of a run meet the same contents
    in the same order, so that they can be compared. own: draws are made inside, see `Deck`.
    """

    def __init__(
        self,
        operator: AnyOperator,
        case: Case,
        copies: Iterable[Copy],
        results: Callable[[Any, Any], Returned],
        intact: Callable[[Any], None],
        secret: int,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        own: Own = nullcontext,
    ) -> None:
        self._copies, self._results, self._intact, self._now_ns = list(copies), results, intact, now_ns
        self._in_order = operator.observe is not None
        self._contents = Contents(operator, case, self._copies[0].inputs, secret, now_ns, own)
        self._places = {id(copy): Place(operator, case, copy.inputs) for copy in self._copies}
        self._random = random.SystemRandom()
        self._open: list[tuple[Copy, bool]] = []
        self._kept: list[KeptCall] = []
        self._doubts: list[KeptCall] = []
        self._repeats: list[KeptCall] = []
        self._unforeseen: KeptCall | None = None
        self._again = 0
        self._judges_unforeseen = not self._in_order and operator.operations(case) <= UNFORESEEN_OPERATIONS
        self._places_of: dict[torch.Size, tuple[Tensor, ...]] = {}
        self._returned: dict[tuple[int, bytes], Content] = {}
        self._looked_at: dict[int, list[tuple[int, bytes]]] = {}
        self._shared: list[tuple[int, Content]] = []
        for copy in self._copies:
            copy.renewal = self
        self._start("warm-up")

    def begin(self) -> None:
        """Timing begins: calls before were to warm up."""
        self.settle()
        self._kept, self._unforeseen, self._again = [], None, 0
        self._start("call")

    @property
    def calls(self) -> int:
        """How many calls had a content of their own, since timing or else warming up began."""
        return self._calls

    def _start(self, phase: str) -> None:
        self._phase, self._calls, self._begun_ns, self._again_ns = phase, 0, self._now_ns(), 0
        first = 0
        self._shared = []
        for number in range(0 if self._in_order or phase == "warm-up" else SHARED):
            base = self._copies[number % min(2, len(self._copies))].content.base
            place = self._random.randrange(first, max(first * SPREAD, SPREAD))
            self._shared.append((place, self._contents.shared(base, "judged", number)))
            first = max(first * SPREAD, SPREAD)

    def renew(self, copy: Copy) -> None:
        """Settle the calls before, and give the copy a content that no call had."""
        self.settle()
        content, judged = self._next(copy)
        self._calls += 1
        copy.outputs = None
        self._open.append((copy, judged))
        self.put(copy, content)

    def put(self, copy: Copy, content: Content) -> None:
        """Remember a content, and write it into a copy's inputs.

        From when it is there to the next call no code of an implementation may run, as it would work untimed: no
        garbage is collected, and Rejected is raised where something is called by the interpreter or by a timer.
        """
        copy.before = tuple(dict.fromkeys((*copy.before[:2], copy.content)))
        copy.content = content
        place, collects = self._places[id(copy)], stop_collecting()
        try:
            refuse_hooks()
            self._contents.write(place, content)
        finally:
            if collects:
                collect_again()

    def settle(self, last: bool = False) -> None:
        """Keep what calls since their renewal returned, or compare it with another call; all of them at the last.

        Which calls are made again is drawn now, after they ended.
        """
        opened, self._open = self._open, []
        self._refuse_shared_outputs([copy for copy, _ in opened])
        for copy, judged in opened:
            if copy.outputs is None:
                continue
            kept = self._as_returned(copy) if judged else None  # before anything else, as time passes meanwhile
            earlier = self._earlier(copy)
            if kept is not None:
                self._kept.append(replace(kept, before=(*kept.before, *earlier)))
            elif earlier and len(self._repeats) < REPEATS:
                self._repeats.append(self._as_returned(copy, earlier))
            elif last or self._is_made_again():
                self._compare(copy, self._as_returned(copy, earlier))

    def _refuse_shared_outputs(self, opened: Sequence[Copy]) -> None:
        """Raise Rejected where outputs for two sets of inputs lie in one place, and the later call wrote to both.

        One that was looked at before and is as it was then was not written to: it may be kept, which is told elsewhere.
        """
        places: dict[int, Copy] = {}
        for copy in self._copies if len(self._copies) > 1 else ():
            for place in () if copy.outputs is None else _addresses(copy.outputs):
                other = places.setdefault(place, copy)
                if other is not copy and not any(self._is_as_it_was(one) for one in (copy, other) if one not in opened):
                    raise Rejected(Outcome.WRONG_VALUES, SHARED_OUTPUT)

    def _is_as_it_was(self, copy: Copy) -> bool:
        return self._samples(copy) == self._looked_at.get(id(copy))

    def _samples(self, copy: Copy) -> list[tuple[int, bytes]]:
        outputs = self._results(copy.inputs, copy.outputs)
        return [(n, self._sample(out)) for n, out in enumerate(outputs) if out.numel()]  # nothing is always alike

    def _earlier(self, copy: Copy) -> tuple[Content, ...]:
        """The content of an earlier call of which an output was the same in some places; () where there is none."""
        samples = self._looked_at[id(copy)] = self._samples(copy)
        contents = dict.fromkeys(self._returned.setdefault(sample, copy.content) for sample in samples)
        return tuple(content for content in contents if content != copy.content)

    def _sample(self, out: Tensor) -> bytes:
        """Numbers of an output in some places, which are drawn once."""
        with plainly():
            if out.shape not in self._places_of:
                drawn = [[self._random.randrange(length) for _ in range(SAMPLED)] for length in out.shape]
                self._places_of[out.shape] = tuple(torch.tensor(places, device=out.device) for places in drawn)
            return out.detach()[self._places_of[out.shape]].reshape(-1).view(torch.uint8).cpu().numpy().tobytes()

    def _as_returned(self, copy: Copy, earlier: tuple[Content, ...] = ()) -> KeptCall:
        outputs = tuple(map(take, self._results(copy.inputs, copy.outputs)))
        self._intact(copy.inputs)
        return KeptCall(copy.content, outputs, (*copy.before, *earlier))

    def finished(self) -> list[KeptCall]:
        """What has to be judged, after calls on the contents that are left; nothing is kept afterwards."""
        self.settle(last=True)
        if self._phase == "warm-up":
            self._start("call")
        if self._in_order:
            self._kept = [*self._random.sample(self._kept[:-1], min(1, len(self._kept[:-1]))), *self._kept[-1:]]
        if any(copy.outputs is not None for copy in self._copies):
            for _, content in self._shared:
                copy = next(copy for copy in self._copies if copy.content.base == content.base)
                self.put(copy, content)
                copy()
                returned = self._as_returned(copy)
                self._kept.append(replace(returned, before=(*returned.before, *self._earlier(copy))))
        unforeseen = [] if self._unforeseen is None else [self._unforeseen]
        kept = [*self._repeats, *self._kept, *unforeseen, *self._doubts]
        self._kept, self._doubts, self._repeats, self._unforeseen = [], [], [], None
        return kept

    def _next(self, copy: Copy) -> tuple[Content, bool]:
        """A content, and whether what is returned for it is to be judged."""
        base = copy.content.base
        if self._in_order:
            return self._contents.shared(base, self._phase, self._calls), True
        for due in self._shared[:-1]:
            if due[0] <= self._calls and due[1].base == base:
                self._shared.remove(due)
                return due[1], True
        return self._contents.next(base), False

    def _is_made_again(self) -> bool:
        """By chance, less often the more calls there were, within a share of the time."""
        if not self._calls:
            return False
        passed = self._now_ns() - self._begun_ns
        chance = min(OFTEN, OFTEN * AGAIN / self._calls)
        return self._again_ns + passed / self._calls <= SHARE * passed and self._random.random() < chance

    def _compare(self, copy: Copy, kept: KeptCall) -> None:
        """Call again; where that differs, the call is one to be judged, if few differed more.

        One of all that come here is judged however that is: a call that knew of none of this.
        """
        begun = self._now_ns()
        self._again += 1
        if self._judges_unforeseen and self._random.randrange(self._again) == 0:
            self._unforeseen = kept
        others = tuple(map(take, self._results(copy.inputs, copy.again())))
        differences = [difference(a, b) for a, b in zip(kept.outputs, others, strict=True)]
        self._again_ns += self._now_ns() - begun
        if any(differences):
            doubt = KeptCall(kept.content, kept.outputs, kept.before, max(differences))
            self._doubts = sorted([*self._doubts, doubt], key=lambda kept: -kept.difference)[:DOUBTS]


def _addresses(outputs: Any) -> list[int]:
    """Where the memory of tensors begins that a call returned."""
    parts = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    return [x.untyped_storage().data_ptr() for x in parts if type(x) is Tensor and x.numel()]


def difference(a: TensorBytes, b: TensorBytes) -> float:
    """0 where two outputs are alike to the bit; else how far they are apart, over the size of the first.

    Of numbers: root mean square; infinite where one is not finite. Of whole numbers: the share that differs.
    """
    if a.same(b):
        return 0.0
    with plainly():
        return _difference(a, b)


def _difference(a: TensorBytes, b: TensorBytes) -> float:
    first, other = (rebuilt(x.data, TensorSpec("", x.shape, getattr(torch, x.dtype)), CPU) for x in (a, b))
    if not first.is_floating_point():
        return float((first != other).double().mean())
    apart, size = (float(x.double().square().mean().sqrt()) for x in (first.double() - other.double(), first))
    far = apart / (size or 1.0)
    return far if far < float("inf") else float("inf")
