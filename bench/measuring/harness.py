"""One implementation on one case: prepare and check it, sample its time, finish -> a measurement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.measuring.case_sampling import CaseSampling
from attnlab.bench.measuring.finish import finish
from attnlab.bench.measuring.judging.court import AnyOperator, Court
from attnlab.bench.measuring.judging.handing import HereJudge
from attnlab.bench.measuring.judging.verdicts import owed
from attnlab.bench.measuring.outcomes import blank_measurement
from attnlab.bench.measuring.prepared_case import PreparedCase
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.store.records import Launch, Measurement


def measure(operator: Operator[Any, Any], case: Case, implementation: Implementation, setup: Setup) -> Measurement:
    """Measure and judge in this process, for code that is trusted; a run has processes for both (see `isolation`).

    Whatever the implementation raises ends as an outcome with its reason and traceback.
    """
    trusted = TrustedCase(operator, case, implementation, setup)
    with trusted.prepared() as prepared:
        claim = time_case(prepared)
    return trusted.settled(claim, blank_measurement(operator, case, implementation))


class TrustedCase:
    """One implementation on one case that is judged in this process, and believed to do no more than it is for."""

    def __init__(self, operator: AnyOperator, case: Case, implementation: Implementation, setup: Setup) -> None:
        self._operator, self._case, self._implementation, self._setup = operator, case, implementation, setup
        self._judge = HereJudge(operator, case, setup.court or Court(setup.device))

    def prepared(self) -> AbstractContextManager[PreparedCase]:
        """Set up and checked; what it held is freed at the end."""
        setup = replace(self._setup, judging=lambda *_: self._judge)
        return prepared_case(self._operator, self._case, self._implementation, setup)

    def settled(self, claim: Measurement, blank: Measurement, final: bool = True) -> Measurement:
        """The measurement that comes of what is claimed; see `settlement.settle`."""
        seed, quick = self._setup.seed, bool(self._setup.effort.quick)
        sets, poisoned = tuple(owed(self._operator, seed, quick)), not self._implementation.compiled
        grounds = Grounds(self._judge.findings, sets, poisoned, testify=partial(self._judge.testify, seed))
        return settle(claim, blank, grounds, self._setup.ceilings, lambda: self._judge.facts(seed), final)


@contextmanager
def prepared_case(
    operator: Operator[Any, Any], case: Case, implementation: Implementation, setup: Setup, check: bool = True
) -> Iterator[PreparedCase]:
    """An implementation on one case, set up and, where `check`, proved right; what it held is freed at the end."""
    prepared = PreparedCase(operator, case, implementation, setup, check)
    try:
        yield prepared
    finally:
        prepared.free()


def time_case(prepared: PreparedCase) -> Measurement:
    """Time it until its median is known, check what timed calls returned, and measure memory, where it is ready."""

    def work() -> Measurement:
        with prepared.phase("timing"), prepared.foreign():
            sampling = CaseSampling(prepared)
            while not sampling.done:
                sampling.burst()
                sampling.refuse_what_was_said()
        return finish(prepared, sampling)

    return prepared.attempt(work)


class CaseInTurn:
    """A prepared case whose bursts are asked for one by one; each answer is what is known of it so far."""

    def __init__(self, prepared: PreparedCase) -> None:
        self._prepared = prepared
        self._sampling: CaseSampling | None = None

    @property
    def sampling(self) -> CaseSampling:
        assert self._sampling is not None
        return self._sampling

    def warm_up(self) -> Measurement:
        """Get ready for bursts."""

        def work() -> Measurement:
            with self._prepared.phase("warm-up"), self._prepared.foreign():
                self._sampling = CaseSampling(self._prepared)
            return self._prepared.measurement

        return self._prepared.attempt(work)

    def pass_over(self) -> Measurement:
        """Make a call that is not timed."""

        def work() -> Measurement:
            with self._prepared.foreign():
                self.sampling.pass_over()
            return self._prepared.measurement

        return self._prepared.attempt(work)

    def burst(self) -> Measurement:
        """Take one burst, which is all that the answer has of times."""

        def work() -> Measurement:
            with self._prepared.phase("timing"), self._prepared.foreign():
                taken = self.sampling.burst()
                self.sampling.refuse_what_was_said()
            return replace(self._prepared.measurement, launches=(Launch(os.getpid(), (taken,)),))

        return self._prepared.attempt(work)

    def finish(self, stopped: str) -> Measurement:
        """End it, with the times of all bursts; stopped: why there are no more."""
        return self._prepared.attempt(lambda: finish(self._prepared, self.sampling, stopped))
