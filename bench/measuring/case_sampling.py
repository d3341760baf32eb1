"""Times the calls of a prepared case: warm-up, then bursts one at a time, so that others have their turn between."""

from __future__ import annotations

from collections.abc import Callable

from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.prepared_case import PreparedCase
from attnlab.bench.measuring.renewal import Copy
from attnlab.bench.measuring.timing import Sampling, Timing, WarmUp
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Burst, Series


class CaseSampling:
    """Samples of a case that is ready, which is warmed up first: by all of its clocks, or by one and its plan alone.

    All of it is code of the implementation's: see `PreparedCase.foreign`. notes: what calls were told of themselves.
    """

    def __init__(self, prepared: PreparedCase, clock: str | None = None, plan: Plan | None = None) -> None:
        self._prepared = prepared
        self._refused: Rejected | None = None
        self.notes: dict[str, None] = {}
        self._sampling = Sampling(
            prepared.copies,
            [one for one in prepared.clocks if clock in (None, one.name)],
            prepared.setup.effort,
            bytes_a_call=prepared.bytes_a_call,
            observe=None if prepared.operator.observe is None else self._observed,
            plan=plan or prepared.setup.plan,
        )
        prepared.renewal.begin()  # it is warm: calls from here on are timed

    @property
    def warm(self) -> WarmUp:
        """How the warm-up went."""
        return self._sampling.warm

    @property
    def done(self) -> bool:
        """Whether the median is known well enough, or time or samples are used up."""
        return self._sampling.done

    def burst(self, count: int | None = None) -> Burst:
        """Take the next burst, of `count` calls, or of as many as make one of the usual length."""
        return self._sampling.burst(count)

    def pass_over(self) -> None:
        """Make a call that is not timed."""
        self._sampling.pass_over()

    def timed(self, stopped: str | None = None) -> Timing:
        """All that was taken; `stopped` as `Sampling.timed` says."""
        return self._sampling.timed(stopped)

    def refuse_what_was_said(self) -> None:
        """Raise Rejected where a call said of itself what cannot be."""
        if self._refused is not None:
            raise self._refused

    def _observed(self, call: Callable[[], object], begun_ns: int, elapsed_ns: float) -> tuple[Series, ...]:
        """What a call says of itself; where that is refused nothing, and the refusal comes when the burst is over."""
        operator = self._prepared.operator
        assert isinstance(call, Copy)
        assert operator.observe is not None
        if self._refused is not None:
            return ()
        try:
            returned, notes = self._prepared.reader.attest(call.inputs, call.outputs, begun_ns, elapsed_ns)
            self.notes |= dict.fromkeys(notes)
            return operator.observe(call.inputs, returned)
        except Rejected as error:
            self._refused = error
            return ()
