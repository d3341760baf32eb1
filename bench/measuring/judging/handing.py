"""How outputs come from a worker to the judge: bytes in a file whose place the parent chose, and a question beside it.

No side unpickles anything: a file holds the elements of the outputs and nothing else, and has exactly the size that the
contract gives it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.operator_spec import Attestation, Fact
from attnlab.bench.measuring.judging.court import AnyOperator, Calls, Court
from attnlab.bench.measuring.judging.plain import Bytes, Outputs
from attnlab.bench.measuring.judging.refusals import NotJudged, Rejected
from attnlab.bench.measuring.judging.verdicts import Findings, OutputForm, Question
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Outcome

_open, _write, _close = os.open, os.write, os.close
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


class Judges(Protocol):
    """What a checker has its outputs judged by; raises Rejected where they are refused."""

    def judge(self, question: Question, calls: Sequence[Outputs]) -> None: ...


def question(
    name: str,
    draw: str,
    content: Content,
    calls: Sequence[Outputs],
    inputs: str | None = None,
    before: tuple[Content, ...] = (),
    rounds: str | None = None,
) -> Question:
    """The question that goes with the outputs of these calls."""
    forms = tuple(OutputForm(taken.shape, taken.dtype) for taken in calls[0])
    return Question(name, draw, content, len(calls), forms, inputs, before, rounds)


class HereJudge:
    """Judges in this process: for tests and notebooks, where an implementation is trusted."""

    def __init__(self, operator: AnyOperator, case: Case, court: Court) -> None:
        self._operator, self._case, self._court = operator, case, court
        self.findings = Findings()

    def judge(self, question: Question, calls: Sequence[Outputs]) -> None:
        data = [[taken.data for taken in call] for call in calls]
        verdict = self._court.judge(self._operator, self._case, question, data)
        self.findings.add(question, verdict)
        if verdict.refusal is not None:
            raise Rejected(*verdict.refusal)

    def testify(self, seed: int, copies: int, calls: Calls) -> Attestation:
        return self._court.testimony(self._operator, self._case, seed, copies, calls)

    def facts(self, seed: int) -> tuple[Fact, ...]:
        return self._court.facts(self._operator, self._case, seed)


class HandedOver:
    """A worker's end: writes the bytes, asks its parent, and learns no more than whether it may go on.

    ask(question) sends it and gives the answer: None, or why the outputs are refused, as [outcome, reason], or
    [None, reason] where they could not be judged.
    """

    def __init__(self, case_id: str, file: Path, ask: Callable[[Any], Any]) -> None:
        self._case_id, self._file, self._ask = case_id, file, ask

    def judge(self, question: Question, calls: Sequence[Outputs]) -> None:
        write(self._file, calls)
        answer = self._ask([self._case_id, encode(question)])
        if answer is None:
            return
        outcome, reason = answer
        if outcome is None:
            raise NotJudged(str(reason))
        raise Rejected(Outcome(outcome), str(reason))


def write(file: Path, calls: Sequence[Outputs]) -> None:
    """All outputs of all calls, one after another."""
    descriptor = _open(file, _FLAGS, 0o600)
    try:
        for call in calls:
            for taken in call:
                left = memoryview(taken.data.data).cast("B")
                while left:
                    left = left[_write(descriptor, left) :]
    finally:
        _close(descriptor)


def read(file: Path, calls: int, sizes_bytes: Sequence[int]) -> list[list[Bytes]]:
    """The bytes of each output of each call; the file is gone then. Raises ValueError on any other size than theirs."""
    wanted = calls * sum(sizes_bytes)
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor).st_size
        if found != wanted:
            raise ValueError(f"{found} bytes were handed over; expected {wanted}")
        data = _all_of(descriptor, wanted)
    finally:
        os.close(descriptor)
        file.unlink(missing_ok=True)
    ends = np.cumsum([size for _ in range(calls) for size in sizes_bytes])
    parts = np.split(data, ends[:-1])
    return [parts[n * len(sizes_bytes) : (n + 1) * len(sizes_bytes)] for n in range(calls)]


def _all_of(descriptor: int, size_bytes: int) -> Bytes:
    data = np.empty(size_bytes, np.uint8)
    left = memoryview(data.data)
    while left:
        count = os.readv(descriptor, [left])
        if not count:
            raise ValueError(f"the file of outputs ended {len(left)} bytes early")
        left = left[count:]
    return data
