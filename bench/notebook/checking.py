"""Whether a function is right on a case: what `attnlab check` finds, as an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnlab.bench import html_table, units
from attnlab.bench.contract.registry import Implementation, discover
from attnlab.bench.errors import UsageError
from attnlab.bench.machine.environment import choose_device
from attnlab.bench.measuring.failures.words import shares, wrong_lines
from attnlab.bench.measuring.settings import kept_settings
from attnlab.bench.notebook.functions import implementation
from attnlab.bench.notebook.subject import CaseLike, subject
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import count, traceback_of

if TYPE_CHECKING:
    from attnlab.bench.contract.wrong import Wrong
    from attnlab.bench.measuring.failures.replay import ReplayResult


@dataclass(frozen=True)
class CheckResult:
    """What a check found of one implementation on one case; true where it passed.

    reason: why it did not. error_of_budget: the largest error over what the contract allows, 1 is the limit; None where
    none was found out. errors: the same by set of inputs ("drawn", "redrawn", "needles"). blunt: faults that this case
    cannot tell apart. wrong: the first row that is wrong. traceback: where it raised.
    """

    operator: str
    implementation: str
    case_id: str
    outcome: Outcome
    reason: str | None = None
    error_of_budget: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    blunt: tuple[str, ...] = ()
    wrong: Wrong | None = None
    traceback: str | None = None

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    def __bool__(self) -> bool:
        return self.passed

    @property
    def verdict(self) -> str:
        """`passed`, `wrong values`, `failed`, …"""
        return self.outcome.value.replace("_", " ")

    def _title(self) -> str:
        error = f", error {units.format_share(self.error_of_budget)} of what is allowed" if self.errors else ""
        why = f": {self.reason}" if self.reason else error
        return f"{self.verdict}: {self.implementation} on {self.operator} {self.case_id}{why}"

    def _notes(self) -> tuple[str, ...]:
        return (f"this case cannot tell apart: {', '.join(self.blunt)}",) if self.blunt else ()

    def _wrong(self) -> list[str]:
        return [] if self.wrong is None else list(wrong_lines(self.wrong))

    def __repr__(self) -> str:
        errors = [f"{name} inputs: error {units.format_share(share)}" for name, share in self.errors.items()]
        lines = [self._title(), *(f"  {line}" for line in (*errors, *self._wrong(), *self._notes()))]
        return "\n".join([*lines, self.traceback.rstrip()] if self.traceback else lines)

    def _repr_html_(self) -> str:
        parts = [html_table.paragraph(self._title(), bold=True)]
        if self.errors:
            rows = [[name, units.format_share(share)] for name, share in self.errors.items()]
            parts.append(html_table.table(["inputs", "error of budget"], rows))
        parts += [html_table.preformatted("\n".join(self._wrong()))] if self.wrong else []
        parts += map(html_table.paragraph, self._notes())
        parts += [html_table.folded("traceback", html_table.preformatted(self.traceback))] if self.traceback else []
        return html_table.page(parts)


def check(
    function: Callable[..., Any] | str,
    case: CaseLike = None,
    *,
    operator: str | None = None,
    device: str = "auto",
    name: str | None = None,
    **axes: Any,
) -> CheckResult:
    """Check a function on a case, in this process, where a debugger stops in it.

    function: gets the operator's inputs as one, or some of them by the names of its parameters, as `attention(q, k, v)`
    does; a class with `run(inputs, state)`, or the name of a registered implementation, will do. case: such as
    `"attention: Sq512-bf16-causal"`, `"attention"` with axes, or a Case. operator: where the case does not tell it.
    device: "auto", "cpu" or "cuda". name: what the function is called in the result. axes: such as `q_len=512`.

    That the function is wrong, raises or cannot serve the case is a result; raises UsageError on what cannot be asked.
    """
    from attnlab.bench.measuring.failures import replay

    registry = discover((), kept_settings)
    asked = subject(case, operator, axes, registry)
    if len(asked.cases) != 1:
        ids = ", ".join(one.id for one in asked.cases[:3])
        raise UsageError(f"got {count(len(asked.cases), 'case')} ({ids}, …); expected one: check each by itself")
    kind = choose_device(device)
    known = registry.implementations(asked.operator.name)
    made = (
        known.get(function) if isinstance(function, str) else implementation(function, asked.operator, registry, name)
    )
    import torch

    (one,) = asked.cases
    where = torch.device(kind)
    with kept_settings():
        found = replay.attempted(made, one, kind, lambda: replay.check(asked.operator, one, made, where))
    return _result(made, one.id, found)


def _result(made: Implementation, case_id: str, found: ReplayResult) -> CheckResult:
    errors: dict[str, float] = {}
    for name, ruling in found.sets:
        if ruling.sets:
            errors[name] = max(errors.get(name, 0.0), *shares(ruling.sets).values())
    return CheckResult(
        made.operator,
        made.name,
        case_id,
        found.outcome,
        found.reason,
        max(errors.values(), default=None),
        errors,
        found.record.blunt if found.record is not None and found.outcome is Outcome.PASSED else (),
        found.wrong,
        traceback_of(found.error) if found.error is not None else None,
    )
