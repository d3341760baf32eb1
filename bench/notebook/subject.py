"""What is asked about: an operator, and one case of it or several, as a user of Python spells them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attnlab.bench.contract.axes import Case, unique
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import AttnlabError, UnknownName, UsageError, nearest
from attnlab.bench.measuring.suite import with_axes
from attnlab.bench.text import one_line

CaseLike = str | Case | Sequence[str | Case] | None
"""`"attention: Sq512-bf16"`, `"attention"`, an id alone, a Case, or several of these."""

HOW = 'expected an operator and an id, such as "attention: Sq512-bf16"; `attnlab list attention` shows its axes'
_NAMED = re.compile(r"(\w+)(?:\s*[:/]\s*|\s+)(\S+)")


@dataclass(frozen=True)
class Subject:
    """Cases of one operator."""

    operator: Operator[Any, Any]
    cases: tuple[Case, ...]


def subject(case: CaseLike, operator: str | None, axes: Mapping[str, Any], registry: Registry) -> Subject:
    """The cases that are meant. Axes take the place of those in each case; a list of values is swept.

    Raises UsageError on no case, one of no operator or of several, and cases of more than one operator.
    """
    given = list(case) if isinstance(case, Sequence) and not isinstance(case, str) else [case]
    if not given:
        raise UsageError(f"got no case; {HOW}")
    found = [_one(each, operator, registry) for each in given]
    names = unique(name for name, _ in found)
    if len(names) > 1:
        raise UsageError(f"got cases of {' and '.join(names)}; expected cases of one operator: ask for each by itself")
    cases = [made for _, made in found]
    for made in cases:
        twice = [axis for axis in axes if axis in made.chosen()]
        if twice:
            raise UsageError(f"case {made.id} sets {' and '.join(twice)}, and so does a keyword; set it in one of them")
    return Subject(registry.operators.get(names[0]), tuple(with_axes(cases, axes)))


def _one(case: object, operator: str | None, registry: Registry) -> tuple[str, Case]:
    if operator is not None:
        registry.operators.get(operator)  # or an error that knows the nearest name
    if case is None:
        if operator is None:
            raise UsageError(f"got no case; {HOW}")
        return operator, registry.operators.get(operator).case_type()
    if isinstance(case, Case):
        owners = [name for name in registry.operators.names() if registry.operators.get(name).case_type is type(case)]
        return _chosen(case.id, owners, operator), case
    if not isinstance(case, str):
        raise UsageError(f"got a case that is a {type(case).__name__}; {HOW}")
    text = case.strip()
    if text in registry.operators:
        return _chosen(text, [text], operator), registry.operators.get(text).case_type()
    if (parts := _NAMED.fullmatch(text)) is not None:
        case_type = registry.operators.get(parts[1]).case_type
        return _chosen(text, [parts[1]], operator), case_type.parse(parts[2])
    if operator is not None:
        return operator, registry.operators.get(operator).case_type.parse(text)
    return _by_id(text, registry)


def _chosen(text: str, owners: Sequence[str], operator: str | None) -> str:
    """The operator of a case that is one of these operators'."""
    if operator is not None and operator not in owners:
        whose = " or ".join(owners) or "no operator"
        raise UsageError(
            f"got operator={operator!r} and case {one_line(text, 80)!r}, which is of {whose}; drop one of them"
        )
    if operator is None and len(owners) != 1:
        raise UsageError(_ambiguous(text, owners))
    return operator or owners[0]


def _by_id(text: str, registry: Registry) -> tuple[str, Case]:
    """By the one operator that can read the id."""
    read: dict[str, Case] = {}
    for name in registry.operators.names():
        try:
            read[name] = registry.operators.get(name).case_type.parse(text)
        except AttnlabError:
            continue
    if not read and nearest(text, registry.operators.names(), likeness=0.7):
        raise UnknownName("operator", one_line(text, 80), registry.operators.names())
    name = _chosen(text, list(read), None)
    return name, read[name]


def _ambiguous(text: str, owners: Sequence[str]) -> str:
    told = one_line(text, 80)
    if not owners:
        return f"case {told!r} is of no operator; {HOW}"
    return f"case {told!r} can be of {', '.join(owners)}; say which, such as {f'{owners[0]}: {told}'!r} or operator="
