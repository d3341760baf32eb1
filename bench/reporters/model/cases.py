"""Cases gathered into families that differ only in the operator's length axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnlab.bench.contract.labels import CaseLabel, label_cases
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.errors import UsageError
from attnlab.bench.reporters.model.words import TextRun, enumerated, listed, name
from attnlab.bench.text import count


@dataclass(frozen=True)
class CaseRef:
    """A case, and its family: the id without the length, which is None where there is none.

    among: how it is told from the other cases of its section; None where it stands for itself.
    """

    case_id: str
    family: str
    length: int | None
    among: CaseLabel | None = field(default=None, compare=False, repr=False)
    axis: str | None = field(default=None, compare=False, repr=False)

    @property
    def label(self) -> str:
        """What tells it from the other cases, also where that is a default; the id where it is alone."""
        return self.among.short if self.among else self.case_id

    @property
    def family_label(self) -> str:
        """The label without the length; the id without it where nothing else varies."""
        return (self.among.without(self.axis) if self.among and self.axis else "") or self.family

    @property
    def sizes(self) -> dict[str, int]:
        """The axes that vary among the cases and are whole numbers, with its values."""
        return self.among.sizes if self.among else {}


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
        return self.label if self.swept else self.cases[0].label


@dataclass(frozen=True)
class Referred:
    """The cases of a section by id, and what all of them share: `Hq9, bf16, causal`."""

    by_id: Mapping[str, CaseRef]
    common: tuple[str, ...]


def refer(ids: Iterable[str], operator: Operator[Any, Any] | None) -> Referred:
    """Cases by their ids; without the operator's contract each is a family of its own."""
    labels = label_cases(ids, operator.case_type if operator else None)
    return Referred({case_id: _ref(label, operator) for case_id, label in labels.by_id.items()}, labels.common)


def _ref(label: CaseLabel, operator: Operator[Any, Any] | None) -> CaseRef:
    case_id = label.case_id
    if operator is None or operator.length_axis is None:
        return CaseRef(case_id, case_id, None, label)
    try:
        length = getattr(operator.case_type.parse(case_id), operator.length_axis)
    except UsageError:  # stored by another version of the plugin
        return CaseRef(case_id, case_id, None, label)
    if not isinstance(length, int):
        return CaseRef(case_id, case_id, None, label)
    return CaseRef(case_id, label.family(operator.length_axis) or case_id, length, label, operator.length_axis)


def families(refs: Iterable[CaseRef]) -> tuple[CaseFamily, ...]:
    """Families in the order in which they first appear."""
    grouped: dict[str, dict[CaseRef, None]] = {}
    for ref in refs:
        grouped.setdefault(ref.family, {})[ref] = None
    return tuple(
        CaseFamily(next(iter(members)).family_label, tuple(sorted(members, key=lambda ref: ref.length or 0)))
        for members in grouped.values()
    )


@dataclass(frozen=True)
class Sweep:
    """Cases that differ in the size of one axis alone, by rising size."""

    axis: str
    label: str
    cases: tuple[CaseRef, ...]

    def size(self, case: CaseRef) -> int:
        return case.sizes[self.axis]


def sweeps(refs: Sequence[CaseRef], first: str | None) -> tuple[Sweep, ...]:
    """Every sweep of two sizes or more; those of the axis `first` come first."""
    axes = dict.fromkeys(axis for ref in refs for axis in ref.sizes)
    found = []
    for axis in sorted(axes, key=lambda axis: axis != first):
        grouped: dict[str, list[CaseRef]] = {}
        for ref in refs:
            if ref.among and axis in ref.sizes:
                grouped.setdefault(ref.among.family(axis), []).append(ref)
        for family, members in grouped.items():
            own = tuple(sorted(dict.fromkeys(members), key=lambda ref: ref.sizes[axis]))
            if len(own) > 1:
                found.append(Sweep(axis, (own[0].among.without(axis) if own[0].among else "") or family, own))
    return tuple(found)


def describe(chosen: Iterable[CaseRef], among: Sequence[CaseFamily], axis: str | None) -> list[TextRun]:
    """`in all 8 cases`, `on x at q_len 512 to 2048`, or `in 5 of 8 cases` where they are too many."""
    wanted = {ref.case_id for ref in chosen}
    total = sum(len(family.cases) for family in among)
    if len(wanted) == total:
        return [TextRun("in the one case" if total == 1 else f"in all {total} cases")]
    if len(among) == 1:
        return [TextRun(_at(among[0], wanted, axis))]
    parts = [_part(family, wanted, axis) for family in among if any(c.case_id in wanted for c in family.cases)]
    if len(parts) > 3:
        return [TextRun(f"in {len(wanted)} of {count(total, 'case')}")]
    return [TextRun("on "), *enumerated(parts)]


def _part(family: CaseFamily, wanted: set[str], axis: str | None) -> list[TextRun]:
    if all(c.case_id in wanted for c in family.cases):
        return [name(family.label_of_one)]
    return [name(family.label), TextRun(f" {_at(family, wanted, axis)}")]


def _at(family: CaseFamily, wanted: set[str], axis: str | None) -> str:
    """`at q_len 512 to 2048`."""
    inside = [c.case_id in wanted for c in family.cases]
    lengths = [str(c.length) for c in family.cases if c.case_id in wanted]
    first = inside.index(True)
    contiguous = len(lengths) > 2 and all(inside[first : first + len(lengths)])
    return f"at {axis} {f'{lengths[0]} to {lengths[-1]}' if contiguous else listed(lengths)}"
