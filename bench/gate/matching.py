"""Which benchmarks of two arms can be compared, and why the others cannot.

What either arm's suite has is looked for on both. Nothing goes missing in silence: what one side lacks, or means
something else by, closes the gate unless it is allowed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from attnlab.bench.gate.allowances import DROPPED, NO_SUITE, OTHER_TEST, Allowance, Allowances
from attnlab.bench.gate.messages import Offer, Offers, benchmark_key
from attnlab.bench.gate.rows import GateRow, Standing
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.store.records import CALLABLE


@dataclass(frozen=True)
class Pairing:
    """One benchmark as both arms offer it. uncovered: why the gate stays closed although it is compared."""

    base: Offer
    head: Offer
    uncovered: str | None = None


@dataclass(frozen=True)
class Matching:
    """Benchmarks to measure by key, rows of those that are not, and remarks."""

    pairings: dict[str, Pairing]
    rows: tuple[GateRow, ...]
    notes: tuple[str, ...]

    @classmethod
    def of_all(cls, found: Iterable[Matching]) -> Matching:
        """Those of several sources as one."""
        all_found = list(found)
        return cls(
            {key: pairing for one in all_found for key, pairing in one.pairings.items()},
            tuple(row for one in all_found for row in one.rows),
            tuple(dict.fromkeys(note for one in all_found for note in one.notes)),
        )

    @property
    def uncovered(self) -> dict[str, str]:
        """Of what is compared, why the gate stays closed all the same."""
        return {key: found.uncovered for key, found in self.pairings.items() if found.uncovered}


def match(base: Offers, head: Offers, thresholds: Thresholds, others_differ: bool = False) -> Matching:
    """Set the arms' offers side by side.

    others_differ: whether what lies outside the repository may differ too, since the arms' environments do.
    """
    allowances = thresholds.allowances
    of_base = {offer.key: offer for offer in base.found}
    of_head = {offer.key: offer for offer in head.found}
    pairings: dict[str, Pairing] = {}
    rows: list[GateRow] = []
    outside: dict[str, None] = {}
    for key in dict.fromkeys([*of_head, *of_base]):
        sides = [offer for offer in (of_base.get(key), of_head.get(key)) if offer is not None]
        if not others_differ and all(offer.source is None for offer in sides):
            outside[sides[0].group] = None
            continue
        found = _set_side_by_side(of_base.get(key), of_head.get(key), base.error is not None, allowances)
        if isinstance(found, Pairing):
            pairings[key] = found
        else:
            known, target = sides[-1], thresholds.target_of(key).share
            row = GateRow(known.operator, known.implementation, known.case_id, found.standing, target, found.reason)
            rows.append(replace(row, allowed_by=found.allowed_by, source=known.source, line=known.line))
    rows += [_broken(file, reason, thresholds) for file, reason in head.broken.items()]
    notes = []
    if outside:
        notes.append(f"not compared, since they lie outside this repository: {', '.join(outside)}")
    for arm, offers in (("base", base), ("head", head)):
        if offers.error is not None:
            notes.append(f"{arm}: {offers.error}")
        notes += [f"{arm} has no plugin {plugin}" for plugin in offers.missing_plugins]
        notes += [f"{arm}: {note}" for note in offers.notes]
    notes += [f"base: {file}: {reason}" for file, reason in base.broken.items()]
    notes += _other_settings(base, head)
    return Matching(pairings, tuple(_with_hints(rows)), tuple(notes))


def _broken(file: str, reason: str, thresholds: Thresholds) -> GateRow:
    """A file of tests that head cannot collect, whatever base has of it."""
    target = thresholds.target_of(benchmark_key(CALLABLE, file, "")).share
    return GateRow(CALLABLE, file, "", Standing.WRONG, target, f"head: {reason}", source=file)


@dataclass(frozen=True)
class _Refusal:
    standing: Standing
    reason: str | None
    allowed_by: str | None = None


def _set_side_by_side(
    base: Offer | None, head: Offer | None, no_suite: bool, allowances: Allowances
) -> Pairing | _Refusal:
    if head is None:
        return _Refusal(Standing.MISSING, "base has it and head has not")
    if base is None:
        return _Refusal(Standing.NEW, "base has no such benchmark")
    if head.reason is not None and base.reason is not None:
        return _Refusal(Standing.UNAVAILABLE, head.reason)
    if head.reason is not None:
        return _Refusal(Standing.MISSING, f"available on base, and on head: {head.reason}")
    if base.reason is not None:
        return _Refusal(Standing.NEW, f"available on head, and on base: {base.reason}")
    redefined = "; ".join(_differences(base, head))
    if redefined:
        return _Refusal(Standing.REDEFINED, f"one id, and not the same work: {redefined}")
    if not head.listed:
        allowed = allowances.find(head.key, Allowance.REMOVED)
        if allowed:
            return _Refusal(Standing.MISSING, "head's suite no longer has it", allowed)
        return Pairing(base, head, DROPPED)
    uncovered = NO_SUITE if no_suite else OTHER_TEST if base.code != head.code else None
    allowed = uncovered and allowances.find(head.key, Allowance.NEW_BASELINE)
    return Pairing(base, head, None if allowed else uncovered)


def _differences(base: Offer, head: Offer) -> Iterator[str]:
    """What one id means on base, and what it means on head."""
    for name in dict.fromkeys([*base.values, *head.values]):
        before, after = base.values.get(name), head.values.get(name)
        if before != after:
            yield f"axis {name} is {_told(before)} on base and {_told(after)} on head"
    for axis in dict.fromkeys([*base.files, *head.files]):
        before, after = base.files.get(axis), head.files.get(axis)
        if before != after:
            yield f"the file of axis {axis} holds {_told(before)} on base and {_told(after)} on head"
    for name, before, after in (
        ("operations", base.operations, head.operations),
        ("bytes moved", base.bytes_moved, head.bytes_moved),
    ):
        if before != after:
            yield f"{name} of a call are {_told(before)} on base and {_told(after)} on head"


def _told(value: object) -> str:
    return "not there" if value is None else str(value)


def _other_settings(base: Offers, head: Offers) -> Iterator[str]:
    """A note where the suites ask to be measured otherwise."""
    if base.error is not None or head.error is not None or base.settings == head.settings:
        return
    before, after = base.settings.named(), head.settings.named()
    changed = [
        f"{name} {_told(before.get(name))} → {_told(after.get(name))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    yield f"head's suite changes how it is measured ({', '.join(changed)}); both sides were measured as base's asks"


def _with_hints(rows: Sequence[GateRow]) -> Iterator[GateRow]:
    """Rows; those that look like a renamed implementation say so."""
    gone, fresh = _cases(rows, Standing.MISSING), _cases(rows, Standing.NEW)
    renamed = {
        (operator, old): new
        for (operator, old), cases in gone.items()
        for (other, new), new_cases in fresh.items()
        if other == operator and new_cases == cases
    }
    olds = {(operator, new): old for (operator, old), new in renamed.items()}
    for row in rows:
        who = (row.operator, row.implementation)
        old_name, new_name = olds.get(who), renamed.get(who)
        if row.standing is Standing.MISSING and new_name:
            hint = f"{row.operator}/{new_name}[{row.case_id}] is new: was it renamed?"
        elif row.standing is Standing.NEW and old_name:
            hint = f"{row.operator}/{old_name}[{row.case_id}] is gone: was it renamed?"
        else:
            yield row
            continue
        yield replace(row, reason=f"{row.reason}; {hint} Nothing shows that they take the same time")


def _cases(rows: Sequence[GateRow], standing: Standing) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row.standing is standing:
            found.setdefault((row.operator, row.implementation), set()).add(row.case_id)
    return found
