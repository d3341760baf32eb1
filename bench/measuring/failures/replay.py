"""Makes a check again in this process, with no isolation and no limit of time, so that a debugger can stop in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract import needs
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import write
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, TensorSpec, tensors
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.contract.wrong import Wrong, first_wrong
from attnlab.bench.errors import ModelError, StoreError, Unavailable
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.measuring.correctness import Checker, poisoned_memory
from attnlab.bench.measuring.failures.keeping import refused_outputs
from attnlab.bench.measuring.failures.record import INPUTS, OUTPUTS, Failure, read_tensors
from attnlab.bench.measuring.judging.court import AnyOperator, Court
from attnlab.bench.measuring.judging.handing import HereJudge, question
from attnlab.bench.measuring.judging.plain import Outputs, take
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.judging.verdicts import TIMED, Question, Ruling, owed
from attnlab.bench.store.records import CheckRecord, Outcome
from attnlab.bench.text import reason_of


@dataclass
class ReplayResult:
    """What came of a check that was made again, or for the first time.

    sets: of each set of inputs that was judged its name and verdict. wrong: what is wrong first. reason: why it is
    refused, None where it is right. same: whether a kept output came again to the bit; None where none was kept.
    record: all figures as a run stores them; None where there are none. error: what the implementation raised.
    """

    outcome: Outcome = Outcome.PASSED
    reason: str | None = None
    wrong: Wrong | None = None
    sets: list[tuple[str, Ruling]] = field(default_factory=list)
    same: bool | None = None
    record: CheckRecord | None = None
    error: BaseException | None = None


class ExplainingJudge(HereJudge):
    """Judges here, and finds what is wrong first in what it refuses."""

    def __init__(self, operator: AnyOperator, case: Case, court: Court, replayed: ReplayResult) -> None:
        super().__init__(operator, case, court)
        self._replayed = replayed

    def judge(self, question: Question, calls: Sequence[Outputs]) -> None:
        data = [[taken.data for taken in call] for call in calls]
        verdict = self._court.judge(self._operator, self._case, question, data)
        self.findings.add(question, verdict)
        self._replayed.sets.append((question.name, verdict))
        if verdict.refusal is None:
            return
        expectation, _ = self._court.expectation(self._operator, self._case, question.draw, question.content)
        specs = self._operator.specs(self._case, question.draw, question.content.seed)
        names = [spec.name for spec in specs]
        if verdict.outcome not in (Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE):
            outputs = refused_outputs(self._court, specs, verdict, data)
            optional = [spec.name for spec in specs if spec.optional]
            self._replayed.wrong = first_wrong(expectation, outputs, names, optional)
        raise Rejected(*verdict.refusal)


def check(
    operator: AnyOperator, case: Case, implementation: Implementation, device: torch.device, seed: int = 0
) -> ReplayResult:
    """Every set of inputs that a run checks, but for timed calls. What the implementation raises comes through."""
    replayed = ReplayResult()
    judge = ExplainingJudge(operator, case, Court(device), replayed)
    checker = Checker(operator, case, implementation, judge, device)

    def made() -> None:
        inputs = operator.make_inputs(case, NORMAL_DRAW, seed, device)
        state = implementation.prepare(case, inputs)
        checker.check(inputs, state, owed(operator, seed))

    _told(replayed, made)
    replayed.record = judge.findings.record(poisoned=not implementation.compiled)
    return replayed


def attempted(
    implementation: Implementation, case: Case, device: str, work: Callable[[], ReplayResult]
) -> ReplayResult:
    """What `work` finds; that the implementation cannot serve the case here, or raises, is an outcome too."""
    try:
        reason = needs.missing(implementation, describe_device(device)) or implementation.supports(case)
        if reason is not None:
            raise Unavailable(reason)
        return work()
    except Unavailable as error:
        return ReplayResult(Outcome.UNAVAILABLE, str(error))
    except (StoreError, ModelError):  # of a file that the user named, not of the implementation
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; its traceback is what is looked for
        return ReplayResult(Outcome.FAILED, f"raised {reason_of(error)}", error=error)


def replay(
    folder: Path,
    failure: Failure,
    operator: AnyOperator,
    case: Case,
    implementation: Implementation,
    device: torch.device,
) -> ReplayResult:
    """The one set of inputs that failed, from the tensors that were kept, or made from its content.

    Raises StoreError where what was kept is not of this case's form.
    """
    if failure.inputs is None or failure.draw is None or failure.content is None:
        return check(operator, case, implementation, device, failure.seed)
    name, draw, content = failure.inputs, failure.draw, failure.content
    kept = read_tensors(folder, failure)
    replayed, court = ReplayResult(), KeptCourt(device, lambda inputs: _put(inputs, kept, folder))
    judge = ExplainingJudge(operator, case, court, replayed)
    checker = Checker(operator, case, implementation, judge, device)

    def made() -> None:
        base = content.base if draw == NORMAL_DRAW else content.seed
        of = case if draw == NORMAL_DRAW else checker.served(operator.needle_cases(case, base))
        specs = operator.handed_over(of, draw)
        inputs = operator.make_inputs(of, draw, base, device)
        if draw != NORMAL_DRAW:
            _put(inputs, kept, folder)
        state = implementation.prepare(of, inputs)
        for before in failure.before:  # what it may have kept of earlier calls
            write(operator, case, inputs, before)
            implementation.run(inputs, state)
        if draw == NORMAL_DRAW:
            write(operator, case, inputs, content)
            _put(inputs, kept, folder)
        others = (inputs,) if draw == NORMAL_DRAW else operator.other_calls(of, inputs)  # as a run does
        calls = []
        with poisoned_memory(inputs, enabled=not implementation.compiled):
            for one in (inputs, *(others if name != TIMED else ())):
                calls.append(tuple(map(take, checker.reader.outputs(one, implementation.run(one, state), specs))))
        again = [_same(outputs, kept, specs) for outputs in calls]
        replayed.same = None if None in again else any(again)
        judge.judge(question(name, draw, content, calls, before=failure.before), calls)

    return _told(replayed, made)


def _told(replayed: ReplayResult, work: Callable[[], None]) -> ReplayResult:
    try:
        work()
    except Rejected as error:
        replayed.outcome, replayed.reason = error.outcome, str(error)
    return replayed


class KeptCourt(Court):
    """Expects what the inputs that were kept give."""

    def __init__(self, device: torch.device, put: Callable[[Any], None]) -> None:
        super().__init__(device)
        self._put = put

    def inputs(self, operator: AnyOperator, case: Case, draw: str, content: Any) -> Any:
        made = super().inputs(operator, case, draw, content)
        self._put(made)
        return made


def _put(inputs: Any, kept: dict[str, Tensor], folder: Path) -> None:
    """KeptCall tensors in their places, in place. Raises StoreError where there is no such place."""
    places = tensors(inputs, "static", "dynamic", "mutable")
    for name, tensor in kept.items():
        path = name.removeprefix(f"{INPUTS}/")
        if path == name:
            continue
        place = places.get(path)
        if place is None or place.shape != tensor.shape or place.dtype != tensor.dtype:
            now = "nothing" if place is None else f"{list(place.shape)} {place.dtype}"
            raise StoreError(
                f"{folder} has {path} of {list(tensor.shape)} {tensor.dtype}, and the case's inputs have {now} there: "
                f"the operator's contract has changed since; run again with --keep-failures"
            )
        place.copy_(tensor)


def _same(outputs: Outputs, kept: dict[str, Tensor], specs: Sequence[TensorSpec]) -> bool | None:
    names = [f"{OUTPUTS}/{spec.name}" for spec in specs]
    if not all(name in kept for name in names):
        return None
    return all(taken.same(take(kept[name])) for taken, name in zip(outputs, names, strict=True))
