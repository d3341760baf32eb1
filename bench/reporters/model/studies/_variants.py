"""What attention's variants cost over plain attention of the same shape, by implementation, and who serves which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from attnlab.bench import units
from attnlab.bench.contract.labels import label_cases
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.masks import Mask
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.studies._paired import ratio_text, time_ratio
from attnlab.bench.reporters.model.words import Sentence, name, names, sentence

PLAIN: dict[str, Any] = {"softcap": None, "sinks": "none", "bias": Bias(), "qk_norm": "none"}
TABLE_CAPTION = (
    "How many times as long as plain attention of the same shape by the same implementation, with 95 % intervals: "
    "above 1 the variant costs time. Pairs are those of query and key that the mask lets through, beside plain "
    "attention's: what a mask may save."
)
PLOT_CAPTION = "Time of a variant over that of plain attention by the same implementation; at 1 it costs nothing."


def plain_of(case: Any) -> Any | None:
    """The same shape without what models add: no cap, sink, bias or norm, and a mask that all know.

    None where there is no such case: of packs whose keys are others than their queries.
    """
    if getattr(case, "packed_keys", ()) != getattr(case, "packed", ()):
        return None
    changes = {axis: value for axis, value in PLAIN.items() if getattr(case, axis) != value}
    if not case.mask.is_band:
        changes["mask"] = Mask("causal")
    return replace(case, **changes) if changes else case


def said_of(case: Any, plain: Any) -> str:
    """`softcap 50, sinks learned`; `plain` of a case without any."""
    axes = case.axes()
    differ = [axis for axis in axes if getattr(case, axis) != getattr(plain, axis)]
    return ", ".join(f"{axis} {axes[axis].write(getattr(case, axis))}" for axis in differ) or "plain"


def study_of(operator: Operator[Any, Any], results: Sequence[Result]) -> Study | None:
    """None where no shape was timed both plain and with a variant."""
    settings = [_Setting(*found) for found in _settings(operator, results)]
    settings = [setting for setting in settings if setting.costs]
    if not settings:
        return None
    words = tuple(found for setting in settings for found in setting.sentences())
    plot = Plot("variants", "Cost over plain attention", PLOT_CAPTION, compared([s.panel() for s in settings]))
    return Study("Variants of attention", words, tuple(setting.table() for setting in settings), (plot,))


def _settings(operator: Operator[Any, Any], results: Sequence[Result]) -> Iterator[tuple[str, Any, list[_Entry]]]:
    """Results by the plain case of their shape, where a variant is among them."""
    grouped: dict[str, tuple[Any, list[_Entry]]] = {}
    for result in results:
        case = operator.case_of(result.row.measurement)
        plain = plain_of(case)
        if plain is not None:
            grouped.setdefault(plain.id, (plain, []))[1].append(_Entry(result, case, said_of(case, plain)))
    varied = {key: found for key, found in grouped.items() if any(entry.variant != "plain" for entry in found[1])}
    labels = label_cases(varied, operator.case_type).by_id
    for key, (plain, entries) in varied.items():
        yield labels[key].spelled, plain, entries


@dataclass(frozen=True)
class _Entry:
    """One result, its case, and what the case adds to plain attention."""

    result: Result
    case: Any
    variant: str


@dataclass(frozen=True)
class _Setting:
    """All results of one shape."""

    title: str
    plain: Any
    entries: list[_Entry]

    @cached_property
    def implementations(self) -> list[str]:
        return list(dict.fromkeys(entry.result.implementation for entry in self.entries))

    @cached_property
    def variants(self) -> list[str]:
        found = dict.fromkeys(entry.variant for entry in self.entries)
        return [variant for variant in found if variant != "plain"]

    def at(self, variant: str, implementation: str) -> Result | None:
        found = [e for e in self.entries if e.variant == variant and e.result.implementation == implementation]
        return found[0].result if found else None

    @cached_property
    def costs(self) -> dict[tuple[str, str], Any]:
        """By variant and implementation, where both it and plain attention were timed."""
        found = {}
        for variant in self.variants:
            for implementation in self.implementations:
                own, plain = self.at(variant, implementation), self.at("plain", implementation)
                if own is not None and plain is not None and own.timed and plain.timed:
                    found[variant, implementation] = time_ratio(own, plain)
        return found

    def fastest(self, variant: str) -> Result | None:
        timed = [e.result for e in self.entries if e.variant == variant and e.result.timed]
        return min(timed, key=lambda result: result.median_ns or 0.0, default=None)

    def sentences(self) -> Iterator[Sentence]:
        """For each variant: the fastest, what it costs there, how far that is from the fastest plain attention, and who
        does not serve it."""
        plain = self.fastest("plain")
        for variant in self.variants:
            best = self.fastest(variant)
            if best is None or plain is None:
                continue
            own = self.costs.get((variant, best.implementation))
            parts: list[Any] = ["On ", name(self.title), f", {variant}: ", name(best.implementation)]
            parts += [f" is the fastest, {units.format_time(best.median_ns)}"]
            if own is not None:
                parts += [f", {ratio_text(own)} as long as its own plain attention"]
            if plain.implementation != best.implementation:
                parts += [f", and {units.format_ratio((best.median_ns or 0.0) / (plain.median_ns or 1.0))} as long as "]
                parts += ["the fastest plain attention, by ", name(plain.implementation)]
            yield sentence(*parts, ".")
            lacking = [i for i in self.implementations if self._refuses(variant, i)]
            if lacking:
                yield sentence("It is not served by ", names(lacking), ".")

    def _refuses(self, variant: str, implementation: str) -> bool:
        """Whether it serves plain attention here, and not the variant."""
        own, plain = self.at(variant, implementation), self.at("plain", implementation)
        return plain is not None and plain.passed and (own is None or not own.passed)

    def table(self) -> StudyTable:
        plain = ("plain", "1.00×", *(self._time(self.at("plain", i)) for i in self.implementations))
        rows = [plain, *(self._row(variant) for variant in self.variants)]
        return StudyTable(self.title, TABLE_CAPTION, ("variant", "pairs", *self.implementations), tuple(rows))

    def _row(self, variant: str) -> tuple[str, ...]:
        case = next(entry.case for entry in self.entries if entry.variant == variant)
        pairs = units.format_ratio(case.pairs / self.plain.pairs) if self.plain.pairs else units.MISSING
        return (variant, pairs, *(self._cell(variant, implementation) for implementation in self.implementations))

    def _cell(self, variant: str, implementation: str) -> str:
        own = self.at(variant, implementation)
        cost = self.costs.get((variant, implementation))
        return ratio_text(cost) if cost is not None else self._time(own)

    def _time(self, result: Result | None) -> str:
        if result is None:
            return units.MISSING
        return units.format_time(result.median_ns) if result.timed else result.outcome_text

    def panel(self) -> Panel:
        curves = []
        for implementation in self.implementations:
            points = [
                PlotPoint(cost.median, row, cost.low, cost.high)
                for row, variant in enumerate(self.variants)
                if (cost := self.costs.get((variant, implementation))) is not None
            ]
            if points:
                curves.append(Curve(implementation, tuple(points)))
        return Panel(
            "dots",
            self.title,
            "times as long as plain attention",
            "",
            "ratio",
            tuple(curves),
            tuple(self.variants),
            reference=1.0,
            reference_label="plain attention",
        )
