"""A process of one arm that measures tests, at the gate's end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from attnlab.bench.gate.arm_process import ArmProcess
from attnlab.bench.measuring.judging.verdicts import Findings
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.measuring.worker_process import WorkerEnded
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import block, one_line

ENDING_LIMIT_S = 10.0  # for fixtures to let go of what they hold


class PytestProcess(ArmProcess):
    """Outputs are judged by the test itself, in the process."""

    def _settled(self, claim: Measurement, final: bool) -> Measurement:
        """Outcome and reason are the test's; figures are worked out here."""
        reason, detail = claim.reason and one_line(claim.reason), claim.detail and block(claim.detail)
        claim = replace(claim, reason=reason, detail=detail)
        blank = replace(claim, launches=(), timing=None)
        grounds = Grounds(Findings(), (), poisoned=False, process=self.number, judged=False)
        return settle(claim, blank, grounds, self._setting.ceilings, final=final)

    def _receive(self, wanted: str) -> Any:
        """An answer; or the test ended before it was given."""
        kind, value = self._process.receive_one_of((wanted, "failed"), self._setting.time_limit_s)
        if kind == "failed":
            reason, detail = value
            raise WorkerEnded(Outcome.FAILED, one_line(str(reason)), block(str(detail)) if detail else None)
        return value

    def close(self) -> None:
        """Let pytest end its session first, so that fixtures clear away what they made."""
        with suppress(WorkerEnded):
            self._process.ask(["end"], "ended", ENDING_LIMIT_S)
        super().close()
