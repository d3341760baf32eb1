"""A process that measures a suite's implementations: what it claims is believed only with the judge's word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from attnlab.bench.contract.operator_spec import Attestation
from attnlab.bench.gate.arm_process import ArmProcess
from attnlab.bench.gate.arm_worker import BOOT
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.messages import ArmOrder, Offer, outputs_of
from attnlab.bench.gate.setting import Setting
from attnlab.bench.measuring.judging.client import Judge, answer, asked_of
from attnlab.bench.measuring.judging.court import Calls
from attnlab.bench.measuring.judging.process import Contract
from attnlab.bench.measuring.judging.refusals import NotJudged
from attnlab.bench.measuring.judging.verdicts import Findings
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Measurement


class SuiteProcess(ArmProcess):
    """contracts: module and file of each operator as this arm has it."""

    def __init__(
        self, arm: Arm, setting: Setting, order: ArmOrder, judge: Judge, contracts: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__(arm, setting, BOOT, order)
        self._process.hear = self._hear
        self._judge, self._order, self._contracts, self._findings = judge, order, contracts, Findings()

    def begin_open(self, offer: Offer, check: bool, plan: Plan | None = None, following: str | None = None) -> None:
        self._findings = Findings()
        super().begin_open(offer, check, plan, following)

    def _settled(self, claim: Measurement, final: bool) -> Measurement:
        """By the judge's word on outputs and the contract's facts: a worker decides about no outcome with figures."""
        blank = replace(claim, check=None, launches=(), timing=None)
        try:
            owed = self._judge.owed(self._contract, self._order.seed) if self._check else ()
        except NotJudged as error:
            return blank.fail(str(error), error.detail)
        poisoned, process = not self._offer.compiled, self.number
        grounds = Grounds(self._findings, owed, poisoned, process, testify=self._testify)
        facts = partial(self._judge.facts, self._contract, self._offer.case_id, self._order.seed)
        return settle(claim, blank, grounds, self._setting.ceilings, facts, final)

    def _testify(self, copies: int, calls: Calls) -> Attestation:
        """Asked of calls that say more than their time."""
        if not any(len(series) > 1 for series, _ in calls):
            return Attestation()
        return self._judge.testimony(self._contract, self._offer.case_id, self._order.seed, copies, calls)

    def _hear(self, value: Any) -> Any:
        """The answer to outputs that are handed over."""
        question = asked_of(value, self._offer.case_id)
        file = outputs_of(self._order, self._process.number)
        return answer(self._judge, self._contract, self._offer.case_id, question, file, self._findings)

    def _contents(self) -> tuple[str, ...]:
        """Nothing where the arm has an environment of its own, whose torch may draw other numbers."""
        if self.arm.name in self._setting.environments:
            return ()
        try:
            return self._judge.digests(self._contract, self._offer.case_id, self._order.seed)
        except NotJudged as error:
            return (f"not known: {error}",)

    @property
    def _contract(self) -> Contract:
        return Contract(self._offer.operator, *self._contracts[self._offer.operator])
