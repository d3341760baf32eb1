"""Names of cases that are looked at together: every axis that varies among them, also where it is at its default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from attnlab.bench.contract.axes import Case
from attnlab.bench.errors import UsageError


@dataclass(frozen=True)
class AxisToken:
    """One axis of a case as its name has it: `Hq8`. size: its value where that is a whole number, else None.

    spelled: whether a name has it wherever it varies. Else (a word or a 0 at its default, or one that only follows
    another axis, as many key heads as heads) a name has it where another case differs in nothing else.
    """

    axis: str
    token: str
    size: int | None
    in_id: bool
    spelled: bool


Tokens = tuple[AxisToken, ...]


@dataclass(frozen=True)
class CaseLabel:
    """One case among others. varying: the axes that tell it from them; whole: those and the ones in its id, in order.

    Where the operator's contract is not known or does not read the id, both are empty, and the id stands for all.
    """

    case_id: str
    varying: Tokens = ()
    whole: Tokens = ()

    @property
    def short(self) -> str:
        """`Hq4-Sq512`: what varies."""
        return self.without() or self.case_id

    @property
    def spelled(self) -> str:
        """`Hq4-Sq512-bf16-causal`: its id with every axis that varies; read as an id, it is the same case."""
        return _joined(self.whole) or self.case_id

    def without(self, *axes: str) -> str:
        """What varies but for some axes; "" where nothing else does."""
        return _joined(token for token in self.varying if token.axis not in axes)

    def family(self, *axes: str) -> str:
        """The id without some axes: cases of one family differ in nothing else."""
        return _family(self.whole, *axes)

    @property
    def sizes(self) -> dict[str, int]:
        """The axes that vary and are whole numbers, with their values."""
        return {token.axis: token.size for token in self.varying if token.size is not None}


@dataclass(frozen=True)
class CaseLabels:
    """Labels by id, and what all cases share: the tokens of axes that do not vary, of those that an id would show."""

    by_id: Mapping[str, CaseLabel]
    common: tuple[str, ...] = ()


def label_cases(ids: Iterable[str], case_type: type[Case] | None) -> CaseLabels:
    """Labels of cases of one operator; of a single case it is the id."""
    ids = list(dict.fromkeys(ids))
    cases = [case for case_id in ids if (case := _parsed(case_id, case_type)) is not None]
    if case_type is None or len(cases) < len(ids) or not cases:
        return CaseLabels({case_id: CaseLabel(case_id) for case_id in ids})
    following = _following(cases)
    tokens = {case_id: tuple(_tokens(case, following)) for case_id, case in zip(ids, cases, strict=True)}
    varying = [name for name in case_type.axes() if _varies(name, tokens.values())]
    swept = {name: _swept(name, tokens) for name in varying}
    by_id = {}
    for case_id, own in tokens.items():
        told = tuple(t for t in own if t.axis in varying and (t.spelled or case_id in swept[t.axis]))
        by_id[case_id] = CaseLabel(case_id, told, tuple(t for t in own if t.in_id or t in told))
    first = next(iter(by_id.values()))
    common = tuple(token.token for token in first.whole if token.axis not in varying)
    return CaseLabels(by_id, common if varying else ())


def _parsed(case_id: str, case_type: type[Case] | None) -> Case | None:
    """None where it was stored by another version of a plugin."""
    try:
        return case_type.parse(case_id) if case_type is not None else None
    except UsageError:
        return None


def _following(cases: Iterable[Case]) -> set[str]:
    """Axes whose default is not the same for all cases: it is another axis's value."""
    defaults: dict[str, set[str]] = {}
    for case in cases:
        for name, axis in case.axes().items():
            defaults.setdefault(name, set()).add(str(axis.default(case)))
    return {name for name, values in defaults.items() if len(values) > 1}


def _tokens(case: Case, following: set[str]) -> Iterator[AxisToken]:
    """Of every axis whose value an id can hold."""
    earlier = set()
    for name, axis in case.axes().items():
        value = getattr(case, name)
        in_id = axis.shown or value != axis.default(case)
        size = value if isinstance(value, int) and not isinstance(value, bool) else None
        follows = name in following and value in earlier
        token = axis.token(value)
        if in_id or axis.from_token(token) == value:
            yield AxisToken(name, token, size, in_id, in_id or (bool(size) and not follows))
        if size is not None:
            earlier.add(value)


def _varies(name: str, cases: Iterable[Tokens]) -> bool:
    """Whether an axis tells cases apart; one that only follows another does not."""
    found = [next((token for token in tokens if token.axis == name), None) for tokens in cases]
    return len({token.token if token else "" for token in found}) > 1 and any(token and token.in_id for token in found)


def _swept(name: str, cases: Mapping[str, Tokens]) -> set[str]:
    """The ids of cases from which another one differs in this axis alone."""
    families: dict[str, list[str]] = {}
    for case_id, tokens in cases.items():
        families.setdefault(_family(tokens, name), []).append(case_id)
    return {case_id for members in families.values() if len(members) > 1 for case_id in members}


def _family(tokens: Tokens, *axes: str) -> str:
    return _joined(token for token in tokens if token.in_id and token.axis not in axes)


def _joined(tokens: Iterable[AxisToken]) -> str:
    return "-".join(token.token for token in tokens)
