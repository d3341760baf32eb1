"""Reads what calls of one case return, as its contract has it: outputs, what was written beside, what a call says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import Span, TensorSpec
from attnlab.bench.contract.unfinished import unfinished_result
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.judging.court import AnyOperator
from attnlab.bench.measuring.judging.plain import check_plain
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.store.records import Outcome


@dataclass(frozen=True)
class OutputReader:
    """Of one case on one device; whatever a call returned is the implementation's, of any type."""

    operator: AnyOperator
    case: Case
    device: torch.device

    def attest(self, inputs: Any, returned: Any, begun_ns: int, elapsed_ns: float) -> tuple[Any, tuple[str, ...]]:
        """What a call returned, as far as what it says of itself holds, with notes; raises Rejected where it does not.

        Whatever it says is the implementation's word, of any type.
        """
        if self.operator.attest is None:
            return returned, ()
        try:
            return self.operator.attest(self.case, inputs, returned, Span(begun_ns, elapsed_ns, now.resolution_ns()))
        except ValueError as error:
            raise Rejected(Outcome.FAILED, str(error)) from error
        except Exception as error:
            reason = f"what it says of its call cannot be read: {type(error).__name__}: {error}"
            raise Rejected(Outcome.FAILED, reason) from error

    def refuse_stray_writes(self, inputs: Any) -> None:
        """Raise Rejected where something was written to that is no output."""
        written = self.operator.intact(inputs)
        if written is not None:
            raise Rejected(Outcome.WRONG_VALUES, f"wrote outside its outputs: {written}")

    def outputs(self, inputs: Any, returned: Any, specs: Sequence[TensorSpec] = ()) -> tuple[Any, ...]:
        """What is judged, as a tuple of plain tensors as `specs` has them, or else the outputs of a timed call.

        Raises Rejected where it is anything else.
        """
        unfinished = unfinished_result(returned)
        if unfinished is not None:
            raise Rejected(Outcome.FAILED, unfinished)
        outputs = self.operator.results(inputs, returned)
        got = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
        specs = specs or self.operator.outputs(self.case)
        if len(got) != len(specs) or not all(isinstance(out, Tensor) for out in got):
            kinds = ", ".join(type(out).__name__ for out in got)
            raise Rejected(
                Outcome.WRONG_SHAPE,
                f"returned ({kinds}); expected {len(specs)} tensors: {', '.join(s.name for s in specs)}",
            )
        ends_on_host = self.operator.observe is not None
        for out, spec in zip(got, specs, strict=True):
            check_plain(out, spec, None if ends_on_host else self.device)
        return got
