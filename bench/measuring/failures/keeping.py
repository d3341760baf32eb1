"""Keeps failed checks in a run's folder: what the judge refused with its tensors, what failed otherwise by name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.contract.operator_spec import TensorSpec, tensors
from attnlab.bench.contract.wrong import first_wrong
from attnlab.bench.measuring.failures import record
from attnlab.bench.measuring.failures.record import EXPECTED, FAILURES, INPUTS, OUTPUTS, Failure
from attnlab.bench.store.records import Measurement, Outcome

if TYPE_CHECKING:
    from torch import Tensor

    from attnlab.bench.contract.axes import Case
    from attnlab.bench.measuring.judging.court import AnyOperator, Court
    from attnlab.bench.measuring.judging.plain import Bytes
    from attnlab.bench.measuring.judging.verdicts import Question, Ruling

FAULTS = tuple(o for o in Outcome if o not in (Outcome.PASSED, Outcome.UNAVAILABLE))


def folder_of(run: Path, operator: str, implementation: str, case_id: str) -> Path:
    """Where a failure is kept: a name that a file may have, however long the case's id is."""
    digest = hashlib.blake2b(f"{operator}\0{implementation}\0{case_id}".encode(), digest_size=6).hexdigest()
    return run / FAILURES / f"{operator}-{implementation}-{digest}"


def keep_refused(
    court: Court,
    operator: AnyOperator,
    case: Case,
    failure: Failure,
    question: Question,
    verdict: Ruling,
    calls: Sequence[Sequence[Bytes]],
    run: Path,
) -> None:
    """Keep what the judge refused: inputs as they were before the call, outputs, and what was expected."""
    refusal = verdict.refusal
    assert refusal is not None
    inputs = court.inputs(operator, case, question.draw, question.content)
    kept = {f"{INPUTS}/{path}": x for path, x in tensors(inputs, "static", "dynamic", "mutable").items()}
    wrong = None
    if calls:
        expectation, _ = court.expectation(operator, case, question.draw, question.content)
        specs = operator.specs(case, question.draw, question.content.seed)
        outputs = refused_outputs(court, specs, verdict, calls)
        names = [spec.name for spec in specs]
        kept |= {f"{OUTPUTS}/{name}": out for name, out in zip(names, outputs, strict=True)}
        kept |= {f"{EXPECTED}/{n}": out for n, out in enumerate(expectation.expected)}
        wrong = first_wrong(expectation, outputs, names, [spec.name for spec in specs if spec.optional])
    made = replace(
        failure,
        outcome=refusal[0],
        reason=refusal[1],
        inputs=question.name,
        draw=question.draw,
        content=question.content,
        before=question.before,
        wrong=wrong,
    )
    record.write(folder_of(run, failure.operator, failure.implementation, failure.case_id), made, kept)


def refused_outputs(
    court: Court, specs: Sequence[TensorSpec], verdict: Ruling, calls: Sequence[Sequence[Bytes]]
) -> tuple[Tensor, ...]:
    """Of the call that was refused: the second where the first was accepted."""
    first_within = bool(verdict.sets) and all(deviation.within for deviation in verdict.sets[0].deviations)
    return court.rebuilt(specs, calls[-1 if first_within else 0])


def keep_failed(run: Path, m: Measurement, device: str, seed: int, plugins: Sequence[str]) -> Path | None:
    """Keep what failed without an output that the judge refused: a wrong shape, an exception, a process that ended.

    Where it is; None where it is no failure.
    """
    if m.outcome not in FAULTS:
        return None
    folder = folder_of(run, m.operator, m.implementation, m.case_id)
    if not (folder / record.RECORD_FILE).is_file():
        reason = m.reason or m.outcome.value
        made = Failure(m.operator, m.implementation, m.case_id, device, m.outcome, reason, seed, plugins=tuple(plugins))
        omitted = "no output was refused by the judge; the whole check is made again"
        record.write(folder, replace(made, omitted=omitted), {})
    return folder
