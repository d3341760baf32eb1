"""Quantised weights of linear layers: error, bytes and speed of each format, and up to how many rows it is faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from attnlab.bench import units
from attnlab.bench.contract.labels import label_cases
from attnlab.bench.llm.generation.stored import SAME
from attnlab.bench.ops.linear.case import RTN, LinearCase
from attnlab.bench.ops.linear.contract import LINEAR, bytes_moved
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.studies._paired import ratio_text, time_ratio
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence
from attnlab.bench.stats.batch_break_even import BatchBreakEven, Measured, Side, break_even
from attnlab.bench.stats.rounds import Ratio

OPERATOR = "linear"
ERROR, BITS = "format_error", "weight_bits"
RATIO_CAPTION = (
    "How many times as fast as the fastest in the dtype, by the rows of x: above 1 the format is faster. Bars are 95 % "
    "intervals, paired by rounds where both took turns, else worst of both medians' intervals."
)
PARETO_CAPTION = (
    "The format's own error (products with the weight as it is stored, against the weight as it was) over bits a "
    "weight, every scale counted; lower left is better."
)


@dataclass(frozen=True)
class TimedProduct:
    """One result that was timed, with its case."""

    result: Result
    case: LinearCase

    @property
    def label(self) -> str:
        """`int4_g32`, or `int4_g32 by gptq`."""
        return label(self.case)

    @property
    def median_ns(self) -> float:
        return self.result.median_ns or 0.0

    def over(self, plain: TimedProduct) -> Ratio:
        """How many times as fast as another."""
        return time_ratio(plain.result, self.result)


def label(case: LinearCase) -> str:
    return case.format if case.method == RTN else f"{case.format} by {case.method}"


def make(results: Sequence[Result]) -> Study | None:
    """None where no shape was timed in the dtype and in a format."""
    settings = [_Setting(*found) for found in _settings(results)]
    tables = [table for setting in settings for table in setting.tables()]
    if not tables:
        return None
    plots = (
        Plot("formats", "Speed by rows", RATIO_CAPTION, compared([p for s in settings for p in s.speed()])),
        Plot("bits", "Error against bits", PARETO_CAPTION, compared([p for s in settings for p in s.pareto()])),
    )
    words = tuple(found for setting in settings for found in setting.sentences())
    return Study("Formats of weights", words, tuple(tables), tuple(plot for plot in plots if plot.panels))


def _settings(results: Sequence[Result]) -> Iterator[tuple[str, list[TimedProduct]]]:
    """Timed results by shape and dtype, where a format is beside the dtype."""
    grouped: dict[str, tuple[LinearCase, list[TimedProduct]]] = {}
    for result in results:
        if result.timed:
            case = LINEAR.case_of(result.row.measurement)
            shared = replace(case, m=1, format=SAME, method=RTN)
            grouped.setdefault(shared.id, (shared, []))[1].append(TimedProduct(result, case))
    several = {key: found for key, found in grouped.items() if {SAME} < {entry.case.format for entry in found[1]}}
    labels = label_cases(several, LinearCase).by_id
    for key, (_, entries) in several.items():
        yield labels[key].without("m") or labels[key].family("m"), entries


class _Setting:
    """The results of one shape in one dtype."""

    def __init__(self, title: str, entries: list[TimedProduct]) -> None:
        self.title, self.entries = title, entries
        self.rows = sorted({entry.case.m for entry in entries})
        variants = dict.fromkeys(
            entry.label for entry in sorted(entries, key=lambda e: (e.case.format != SAME, e.label))
        )
        self.variants = [variant for variant in variants if variant != SAME]

    def at(self, variant: str, m: int) -> TimedProduct | None:
        """The fastest of a format at so many rows."""
        found = [entry for entry in self.entries if entry.label == variant and entry.case.m == m]
        return min(found, key=lambda entry: entry.median_ns, default=None)

    def ratios(self, variant: str) -> list[Measured]:
        """The fastest of a format over the fastest in the dtype, at each number of rows that has both."""
        pairs = [(m, self.at(variant, m), self.at(SAME, m)) for m in self.rows]
        return [Measured(m, other.over(plain)) for m, other, plain in pairs if other and plain]

    def sentences(self) -> Iterator[Sentence]:
        m = self.rows[0]
        plain = self.at(SAME, m)
        others = [entry for variant in self.variants if (entry := self.at(variant, m)) is not None]
        if plain is None or not others:
            return
        best = min(others, key=lambda entry: entry.median_ns)
        kept = [
            *known("{} bits a weight", bits_of(best), units.format_number),
            *known("an error of {}", best.result.number(ERROR), units.format_share),
        ]
        yield sentence(
            "For ",
            name(self.title),
            f" and {rows_text(m)}, ",
            name(best.label),
            " by ",
            name(best.result.implementation),
            f" takes {units.format_time(best.median_ns)}, {ratio_text(best.over(plain))} as fast as the dtype by ",
            name(plain.result.implementation),
            f"{', at ' if kept else ''}{listed(kept)}.",
        )
        for variant in self.variants:
            found = break_even(self.ratios(variant))
            if found is not None:
                yield sentence("On ", name(self.title), ", ", name(variant), f" is {said(found)}.")

    def tables(self) -> Iterator[StudyTable]:
        m = self.rows[0]
        plain = self.at(SAME, m)
        rows = [self._row(entry, plain) for v in (SAME, *self.variants) if (entry := self.at(v, m)) is not None]
        if plain is None or len(rows) < 2:
            return
        yield StudyTable(
            f"{self.title}, {rows_text(m)}",
            "The fastest of each format. Bits count scales, minima and indices; the error is the format's own; bytes "
            "are those of a call; the error of the kernel is a share of what it may have.",
            ("format", "bits a weight", "error", "bytes", "implementation", "latency", "speed-up", "error of budget"),
            tuple(rows),
        )
        if len(self.rows) > 1:
            yield StudyTable(
                f"Up to how many rows: {self.title}",
                "How many times as fast as the fastest in the dtype, with 95 % intervals, and where that crosses 1: "
                "by a line in the logarithms between the two sides, the interval from the last number of rows that is "
                "surely on one side to the first that is surely on the other.",
                ("format", "than the dtype", *(f"M = {m}" for m in self.rows)),
                tuple(self._by_rows(variant) for variant in self.variants),
            )

    def _row(self, entry: TimedProduct, plain: TimedProduct | None) -> tuple[str, ...]:
        return (
            "the dtype" if entry.case.format == SAME else entry.label,
            units.format_number(bits_of(entry)),
            units.format_share(entry.result.number(ERROR)),
            units.format_bytes(bytes_moved(entry.case)),
            entry.result.implementation,
            units.format_time(entry.median_ns),
            units.MISSING if plain is None or entry is plain else ratio_text(entry.over(plain)),
            entry.result.share("error_of_budget"),
        )

    def _by_rows(self, variant: str) -> tuple[str, ...]:
        ratios = self.ratios(variant)
        by_m = {measured.rows: measured.ratio for measured in ratios}
        found = break_even(ratios)
        return (variant, units.MISSING if found is None else said(found), *(ratio_text(by_m.get(m)) for m in self.rows))

    def speed(self) -> Iterator[Panel]:
        curves = []
        for variant in self.variants:
            ratios = self.ratios(variant)
            if len(ratios) > 1:
                points = (PlotPoint(m.rows, m.ratio.median, m.ratio.low, m.ratio.high) for m in ratios)
                curves.append(Curve(variant, tuple(points)))
        if curves:
            yield Panel(
                "lines",
                self.title,
                "rows of x",
                "speed-up over the dtype",
                "ratio",
                tuple(curves),
                reference=1.0,
                reference_label="the dtype",
            )

    def pareto(self) -> Iterator[Panel]:
        curves = []
        for variant in self.variants:
            entry = next((e for m in self.rows if (e := self.at(variant, m)) is not None), None)
            error = entry.result.number(ERROR) if entry else None
            bits = bits_of(entry) if entry else None
            if error is not None and bits is not None:
                curves.append(Curve(variant, (PlotPoint(bits, error),)))
        if len(curves) > 1:
            yield Panel("scatter", self.title, "bits a weight", "format error", "share", tuple(curves))


def bits_of(entry: TimedProduct) -> float:
    """Bits of a weight all told."""
    case, format = entry.case, entry.case.stored_as
    return 8.0 * case.element_bytes if format is None else format.bits_a_weight(case.n, case.k, case.torch_dtype)


def rows_text(m: int) -> str:
    return "one row" if m == 1 else f"{m} rows"


def said(found: BatchBreakEven) -> str:
    if found.rows is None:
        if found.first is Side.UNKNOWN:
            return "not told apart from the dtype"
        if not found.untold:
            return f"{found.first} at every number of rows measured"
        return f"{found.first}, but not told apart from the dtype at M = {listed(list(map(str, found.untold)))}"
    low = "none" if found.low is None else str(found.low)
    high = "none" if found.high is None else str(found.high)
    word = "up to" if found.first is Side.FASTER else "from"
    return f"faster {word} {found.rows:.0f} rows (95 %: {low} to {high})"
