"""Which benchmarks of two arms can be compared, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.gate.messages import Offer, Offers
from attnlab.bench.gate.records import GateRow, Standing
from attnlab.bench.gate.thresholds import Thresholds


@dataclass(frozen=True)
class Matched:
    """Benchmarks to measure by key, as head offers them, rows of those that are not, and remarks."""

    offers: dict[str, Offer]
    rows: tuple[GateRow, ...]
    notes: tuple[str, ...]


def match(base: Offers, head: Offers, thresholds: Thresholds) -> Matched:
    """Set the arms' offers side by side."""
    of_base = {offer.key: offer for offer in base.found}
    of_head = {offer.key: offer for offer in head.found}
    chosen: dict[str, Offer] = {}
    rows: list[GateRow] = []
    outside: dict[str, None] = {}
    for key in dict.fromkeys([*of_head, *of_base]):
        before, after = of_base.get(key), of_head.get(key)
        known = after or before
        assert known is not None
        if known.source is None:
            outside[f"{known.operator}/{known.implementation}"] = None
            continue
        standing, reason = _standing(before, after)
        if standing is Standing.COMPARED and after is not None:
            chosen[key] = after
        else:
            target = thresholds.target_of(key)
            rows.append(GateRow(known.operator, known.implementation, known.case_id, standing, target, reason))
    notes = []
    if outside:
        notes.append(f"not compared, since they lie outside this repository: {', '.join(outside)}")
    notes += [f"base has no plugin {plugin}: what it brings is new" for plugin in base.missing_plugins]
    return Matched(chosen, tuple(rows), tuple(notes))


def _standing(base: Offer | None, head: Offer | None) -> tuple[Standing, str | None]:
    if head is None:
        return Standing.MISSING, "base has it and head has not"
    if base is None:
        return Standing.NEW, "base has no such benchmark"
    if head.reason is not None and base.reason is not None:
        return Standing.UNAVAILABLE, head.reason
    if head.reason is not None:
        return Standing.MISSING, f"available on base, and on head: {head.reason}"
    if base.reason is not None:
        return Standing.NEW, f"available on head, and on base: {base.reason}"
    return Standing.COMPARED, None
