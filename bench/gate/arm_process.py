"""A process of one arm, at the gate's end: what it claims is believed only with the judge's word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from attnlab.bench.contract.operator_spec import Attestation
from attnlab.bench.gate import rerooting
from attnlab.bench.gate.arm_worker import BOOT
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment, own_packages
from attnlab.bench.gate.messages import ArmOrder, Closing, Offer, Offers, Opening, TimingMethod, outputs_of
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.judging.client import Judge, answer, asked_of
from attnlab.bench.measuring.judging.court import Calls
from attnlab.bench.measuring.judging.process import Contract
from attnlab.bench.measuring.judging.refusals import NotJudged
from attnlab.bench.measuring.judging.verdicts import Findings
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.measuring.timing import WarmUp
from attnlab.bench.measuring.worker_process import Process, WorkerEnded
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome


class ArmProcess:
    """A process of one arm, at the gate's end. Every method raises WorkerEnded where it dies or is too slow.

    contracts: module and file of each operator as this arm has it.
    """

    def __init__(
        self,
        arm: Arm,
        repo: Path,
        harness: Path,
        order: ArmOrder,
        limit_s: float,
        judge: Judge,
        environment: ArmEnvironment | None = None,
        contracts: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.arm, self._limit_s, self._judge, self._order = arm, limit_s, judge, order
        self._contracts = contracts or {}
        self._own_environment = environment is not None
        self._findings = Findings()
        self._bursts: list[Burst] = []
        self._notes: tuple[str, ...] = ()
        try:
            self._process = begin_process(BOOT, arm, repo, harness, order.device, environment)
            self._process.hear = self._hear
        except OSError as error:
            raise WorkerEnded(Outcome.FAILED, f"no process could be started: {error}", None) from error
        try:
            self._process.send(encode(order))
        except WorkerEnded:
            self._process.close()
            raise

    @property
    def number(self) -> int:
        return self._process.number

    def wait_until_ready(self) -> None:
        self._process.wait_until_ready()

    def offers(self, wanted: Sequence[Offer] = ()) -> Offers:
        """What the arm has of its own suite and, besides, of what is wanted."""
        keys = [[offer.operator, offer.implementation, offer.case_id] for offer in wanted]
        return decode(Offers, self._ask("offers", ["offers", keys]))

    def begin_open(self, offer: Offer, check: bool, plan: Plan | None = None) -> None:
        self._offer, self._check, self._findings, self._bursts = offer, check, Findings(), []
        self._process.begin_case()
        self._process.send(["open", offer.operator, offer.implementation, offer.case_id, check, encode(plan)])

    def opening(self) -> Opening:
        """What the arm says, with the judge's word on its check."""
        opened = decode(Opening, self._process.receive("opened", self._limit_s))
        self._notes = opened.notes
        measurement = self._settle(opened.measurement, final=False)
        if measurement.outcome is not Outcome.PASSED:
            return replace(opened, measurement=measurement, methods=(), contents=())
        return replace(opened, measurement=measurement, contents=self._contents())

    def warm(self, method: TimingMethod) -> WarmUp:
        return decode(WarmUp, self._ask("warm", ["warm", method.clock, encode(method.plan)]))

    def burst(self, count: int) -> Burst:
        self._bursts.append(decode(Burst, self._ask("burst", ["burst", count])))
        return self._bursts[-1]

    def paused(self) -> AbstractContextManager[None]:
        """Inside, the process stands still."""
        return self._process.paused()

    def close_case(self) -> Measurement:
        """What comes of the bursts: settled as in a run, by the judge's word on outputs and the contract's facts."""
        closing = decode(Closing, self._ask("closed", ["close"]))
        claim = closing.measurement
        if claim.outcome is Outcome.PASSED:
            bursts = (*self._bursts, Burst(now.time_s(), closing.beside))
            flags = (*self._notes, *closing.notes)
            claim = replace(claim, timing=closing.timing, launches=(Launch(self.number, bursts),), flags=flags)
        return self._settle(claim, final=True)

    def _testify(self, copies: int, calls: Calls) -> Attestation:
        """Asked of calls that say more than their time."""
        if not any(len(series) > 1 for series, _ in calls):
            return Attestation()
        return self._judge.testimony(self._contract, self._offer.case_id, self._order.seed, copies, calls)

    def kernels(self) -> dict[str, float]:
        return {str(name): float(ns) for name, ns in self._ask("kernels", ["kernels"]).items()}

    def _hear(self, value: Any) -> Any:
        """The answer to outputs that are handed over."""
        question = asked_of(value, self._offer.case_id)
        file = outputs_of(self._order, self._process.number)
        return answer(self._judge, self._contract, self._offer.case_id, question, file, self._findings)

    def _contents(self) -> tuple[str, ...]:
        """Nothing where the arm has an environment of its own, whose torch may draw other numbers."""
        if self._own_environment:
            return ()
        try:
            return self._judge.digests(self._contract, self._offer.case_id, self._order.seed)
        except NotJudged as error:
            return (f"not known: {error}",)

    @property
    def _contract(self) -> Contract:
        return Contract(self._offer.operator, *self._contracts[self._offer.operator])

    def _settle(self, claim: Measurement, final: bool) -> Measurement:
        """What comes of a claim: a worker decides about no outcome that has figures."""
        blank = replace(claim, check=None, launches=(), timing=None)
        try:
            owed = self._judge.owed(self._contract, self._order.seed) if self._check else ()
        except NotJudged as error:
            return blank.fail(str(error), error.detail)
        poisoned, process = not self._offer.compiled, self.number
        grounds = Grounds(self._findings, owed, poisoned, process, testify=self._testify)
        facts = partial(self._judge.facts, self._contract, self._offer.case_id, self._order.seed)
        return settle(claim, blank, grounds, decode(Ceilings, self._order.ceilings), facts, final)

    def _ask(self, wanted: str, request: list[Any]) -> Any:
        return self._process.ask(request, wanted, self._limit_s)

    def close(self) -> None:
        self._process.close()


def begin_process(
    boot: str, arm: Arm, repo: Path, harness: Path, device: str, environment: ArmEnvironment | None
) -> Process:
    """A process that finds an arm's modules, and in `environment` where it has its own. Raises OSError."""
    earlier = [str(root) for root in environment.checkouts if root != arm.root] if environment else []
    places = own_packages(repo, arm, harness) if environment else {}
    return Process(
        device,
        boot,
        (rerooting.__file__, json.dumps([str(repo), str(arm.root), str(harness), earlier, places])),
        _same_folder(repo, arm),
        environment.executable if environment else None,
        environment.variables(repo) if environment else None,
    )


def _same_folder(repo: Path, arm: Arm) -> Path:
    """The current folder as the arm has it, or the root of the arm's checkout."""
    here = Path.cwd().resolve()
    there = arm.root / here.relative_to(repo) if repo == here or repo in here.parents else here
    return there if there.is_dir() else arm.root
