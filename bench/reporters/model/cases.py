"""Cases gathered into families that differ only in the operator's length axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.errors import UsageError
from attnlab.bench.reporters.model.words import TextRun, enumerated, name
from attnlab.bench.text import count


@dataclass(frozen=True)
class CaseRef:
    """A case, and its family: the id without the length, which is None where there is none."""

    case_id: str
    family: str
    length: int | None


@dataclass(frozen=True)
class CaseFamily:
    """Cases by rising length."""

    label: str
    cases: tuple[CaseRef, ...]

    @property
    def swept(self) -> bool:
        return len(self.cases) > 1

    @property
    def label_of_one(self) -> str:
        """What to call a family of a single case."""
        return self.label if self.swept else self.cases[0].case_id


def refer(case_id: str, operator: Operator[Any, Any] | None) -> CaseRef:
    """A case by its id; without the operator's contract it is a family of its own."""
    if operator is None or operator.length_axis is None:
        return CaseRef(case_id, case_id, None)
    try:
        case = operator.case_type.parse(case_id)
    except UsageError:  # stored by another version of the plugin
        return CaseRef(case_id, case_id, None)
    length = getattr(case, operator.length_axis)
    if not isinstance(length, int):
        return CaseRef(case_id, case_id, None)
    token = case.axes()[operator.length_axis].token(length)
    rest = "-".join(part for part in case_id.split("-") if part != token)
    return CaseRef(case_id, rest or case_id, length)


def families(refs: Iterable[CaseRef]) -> tuple[CaseFamily, ...]:
    """Families in the order in which they first appear."""
    grouped: dict[str, dict[CaseRef, None]] = {}
    for ref in refs:
        grouped.setdefault(ref.family, {})[ref] = None
    return tuple(
        CaseFamily(label, tuple(sorted(members, key=lambda ref: ref.length or 0))) for label, members in grouped.items()
    )


def describe(chosen: Iterable[CaseRef], among: Sequence[CaseFamily], axis: str | None) -> list[TextRun]:
    """`in all 8 cases`, `on x at q_len 512 to 2048`, or `in 5 of 8 cases` where they are too many."""
    wanted = {ref.case_id for ref in chosen}
    total = sum(len(family.cases) for family in among)
    if len(wanted) == total:
        return [TextRun("in the one case" if total == 1 else f"in all {total} cases")]
    parts = [_part(family, wanted, axis) for family in among if any(c.case_id in wanted for c in family.cases)]
    if len(parts) > 3:
        return [TextRun(f"in {len(wanted)} of {count(total, 'case')}")]
    return [TextRun("on "), *enumerated(parts)]


def _part(family: CaseFamily, wanted: set[str], axis: str | None) -> list[TextRun]:
    inside = [c.case_id in wanted for c in family.cases]
    if all(inside):
        return [name(family.label_of_one)]
    lengths = [str(c.length) for c in family.cases if c.case_id in wanted]
    first = inside.index(True)
    contiguous = len(lengths) > 2 and all(inside[first : first + len(lengths)])
    text = f"{lengths[0]} to {lengths[-1]}" if contiguous else _and(lengths)
    return [name(family.label), TextRun(f" at {axis} {text}")]


def _and(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
