"""The judge as those see it who measure: asked through a pipe, started again where it died."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.operator_spec import Attestation, Fact
from attnlab.bench.measuring.finish import shows_calls
from attnlab.bench.measuring.judging.court import Calls
from attnlab.bench.measuring.judging.process import BOOT, Contract, JudgeOrder
from attnlab.bench.measuring.judging.refusals import NotJudged
from attnlab.bench.measuring.judging.verdicts import Findings, Owed, Question, Ruling
from attnlab.bench.measuring.observation import Observation
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.measuring.worker_process import Process, WorkerEnded
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import reason_of

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Implementation, Registry
    from attnlab.bench.store.machine import Ceilings

LIMIT_S = 300.0  # for one answer: the oracle of a long case takes many times what its kernels do


Keep = tuple[str, str, int, tuple[str, ...]]
"""Where failed checks are kept: the run's folder, the implementation, the seed of its inputs, and its plugins."""


class Judge:
    """One judge's process, kept over all cases and implementations, so that what is expected is computed once.

    begin(boot) gives its process, for a gate's arm the one that finds the arm's contracts. Start it together with the
    workers: importing torch takes seconds. Every question raises NotJudged where there is no answer; the next one
    goes to a fresh process then.
    """

    def __init__(self, order: JudgeOrder, begin: Callable[[], Process] | None = None, limit_s: float = LIMIT_S) -> None:
        self._order, self._limit_s = order, limit_s
        self._begin = begin or (lambda: Process(order.device, BOOT))
        self._running: Process | None = None
        self._ready = False

    @property
    def device(self) -> str:
        return self._order.device

    def start(self) -> None:
        """Begin to start the process; where that fails, the first question says so."""
        if self._running is not None:
            return
        try:
            self._running = self._begin()
            self._running.send(encode(self._order))
        except (OSError, WorkerEnded):
            self.close()

    def wait(self) -> None:
        """Wait until a process that was started is ready."""
        if self._running is not None and not self._ready:
            try:
                self._running.wait_until_ready()
                self._ready = True
            except WorkerEnded:
                self.close()

    def judge(
        self, contract: Contract, case_id: str, question: Question, file: Path, keep: Keep | None = None
    ) -> Ruling:
        """What it says of the outputs in a file, which is gone then; what it refuses is kept where `keep` says."""
        try:
            kept = [] if keep is None else [encode(keep)]
            return decode(Ruling, self._ask("judge", contract, case_id, encode(question), str(file), *kept))
        finally:
            file.unlink(missing_ok=True)

    def facts(self, contract: Contract, case_id: str, seed: int) -> tuple[Fact, ...]:
        """The contract's facts of a case."""
        return tuple(Fact(**fact) for fact in self._ask("facts", contract, case_id, seed))

    def testimony(self, contract: Contract, case_id: str, seed: int, copies: int, calls: Calls) -> Attestation:
        """What is to be said of what timed calls said of themselves; see `Operator.refute`."""
        return decode(Attestation, self._ask("testimony", contract, case_id, seed, copies, encode(calls)))

    def digests(self, contract: Contract, case_id: str, seed: int) -> tuple[str, ...]:
        """Each set of inputs that is checked with a hash of what it holds, such as `drawn 1a2b…`, where it has one."""
        found = self._ask("digests", contract, case_id, seed)
        return tuple(f"{name} {digest}" for name, digest in found if digest is not None)

    def owed(self, contract: Contract, seed: int) -> tuple[Owed, ...]:
        """The sets of inputs that a checked implementation owes outputs on; see `verdicts.owed`."""
        found = self._ask("owed", contract, seed)
        return tuple((str(name), str(draw), decode(Content, content)) for name, draw, content in found)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running, self._ready = None, False

    def _ask(self, verb: str, contract: Contract, *arguments: Any) -> Any:
        self.start()
        if self._running is None:
            raise NotJudged("the judge's process could not be started")
        try:
            if not self._ready:
                self._running.wait_until_ready()
                self._ready = True
            self._running.begin_case()
            self._running.send([verb, encode(contract), *arguments])
            kind, answer = self._running.receive_one_of((verb, "failed"), self._limit_s)
        except WorkerEnded as end:
            self.close()
            raise NotJudged(f"the judge: {end}", end.detail) from end
        if kind == "failed":
            reason, detail = answer
            raise NotJudged(reason, detail)
        return answer


def contract_of(registry: Registry, operator: str) -> Contract:
    """Where an operator of this registry is defined."""
    module = registry.operators.module(operator)
    return Contract(operator, module, getattr(sys.modules.get(module), "__file__", None))


def search_folders(plugins: Sequence[str]) -> tuple[str, ...]:
    """Folders of plugins that are given by path: contracts may lie beside them."""
    paths = [Path(plugin).expanduser().resolve() for plugin in plugins if plugin.endswith(".py") or "/" in plugin]
    return tuple(dict.fromkeys(str(path.parent) for path in paths))


class Hearing:
    """What one worker hands over, judged as it comes, and what comes of each of its cases; an `isolation.Settles`.

    file: where its outputs lie. seed: what inputs hang on. sets: those on which outputs are owed. Cases are begun
    before they are opened; what is found of one stays until it is begun again. keep: where failed checks are kept.
    """

    def __init__(
        self,
        judge: Judge,
        registry: Registry,
        implementation: Implementation,
        file: Path,
        seed: int,
        sets: tuple[Owed, ...],
        ceilings: Ceilings,
        keep: Keep | None = None,
    ) -> None:
        self._judge, self.file, self._seed, self._ceilings, self._sets = judge, file, seed, ceilings, sets
        self._contract = contract_of(registry, implementation.operator)
        self._operator, self._poisoned = registry.operators.get(implementation.operator), not implementation.compiled
        self._shows, self._rounds = shows_calls(self._operator, judge.device), implementation.rounds
        self._findings: dict[str, Findings] = {}
        self._keep = keep

    def begin(self, case_id: str) -> None:
        self._findings[case_id] = Findings()

    def hear(self, value: Any) -> Any:
        """The answer to what a worker asks: None where it may go on, else why not (see `handing.HandedOver`)."""
        case_id = str(value[0]) if isinstance(value, list) and value else ""
        question = replace(asked_of(value, *self._findings), rounds=self._rounds)
        findings = self._findings[case_id]
        return answer(self._judge, self._contract, case_id, question, self.file, findings, self._keep)

    def settle(
        self, case_id: str, claim: Measurement, blank: Measurement, process: int, seen: Observation, final: bool
    ) -> Measurement:
        says = self._operator.refute is not None
        testify = partial(self._judge.testimony, self._contract, case_id, self._seed) if says else None
        grounds = Grounds(self._findings[case_id], self._sets, self._poisoned, process, seen, self._shows, testify)
        facts = partial(self._judge.facts, self._contract, case_id, self._seed)
        return settle(claim, blank, grounds, self._ceilings, facts, final)


def asked_of(value: Any, *open_cases: str) -> Question:
    """The question in a worker's [case, question]; raises WorkerEnded where it is of no open case, or is none."""
    try:
        case_id, asked = value
        if case_id not in open_cases:
            raise ValueError(f"case {case_id!r} is not open")
        return decode(Question, asked)
    except (TypeError, ValueError) as error:
        reason = f"handed over what cannot be judged: {reason_of(error)}"
        raise WorkerEnded(Outcome.FAILED, reason, None) from None


def answer(
    judge: Judge,
    contract: Contract,
    case_id: str,
    question: Question,
    file: Path,
    findings: Findings,
    keep: Keep | None = None,
) -> list[str | None] | None:
    """What a worker is told of what it handed over, which `findings` keep: None, or [outcome, reason]."""
    try:
        verdict = judge.judge(contract, case_id, question, file, *(() if keep is None else (keep,)))
    except NotJudged as error:
        findings.give_up(error)
        return [None, str(error)]
    findings.add(question, verdict)
    refusal = verdict.refusal
    return None if refusal is None else [refusal[0].value, refusal[1]]
