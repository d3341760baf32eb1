"""What formats of weights and caches cost a model: quality against bytes and against speed, and what methods save."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from attnlab.bench import units
from attnlab.bench.contract.metric import Row
from attnlab.bench.errors import AttnlabError
from attnlab.bench.llm.generation import measured
from attnlab.bench.llm.generation.stored import Q4_1, SAME
from attnlab.bench.ops.generate.case import recipe_of
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.perplexity.case import PerplexityCase
from attnlab.bench.ops.perplexity.contract import PERPLEXITY
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, front_of, spans_decades
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, name, names, sentence

OPERATOR = "perplexity"
BESIDE = GENERATE.name
NOTHING = "nothing quantised"
HEADINGS = (
    "weights and cache",
    "bits a weight",
    "bits a cached number",
    "perplexity",
    "Δ perplexity (95 %)",
    "KL mean, nat",
    "KL 99 %",
    "KL 99.9 %",
    "same top",
    "RMS Δp",
)
MEASURES = (
    "Against the model with nothing quantised, on the same tokens. Intervals are of pairs, in blocks of 64 tokens: "
    "they are of these tokens, and of no other text."
)


@dataclass(frozen=True)
class Kept:
    """One way of storing weights and cache, by a result that has its figures."""

    result: Result
    case: PerplexityCase

    @property
    def label(self) -> str:
        """`int4_g32:gptq, cache int8_token`; `int8 in bfloat16`, whose head and norms take fewer bits."""
        dtype = "" if self.case.dtype == "float32" else f" in {self.case.dtype}"
        weights = NOTHING if self.case.weights == SAME else self.case.weights
        if self.case.cache == SAME:
            return f"{weights}{dtype}"
        cache = f"cache {self.case.cache}{dtype}"
        return cache if self.case.weights == SAME else f"{weights}, {cache}"

    @property
    def plain(self) -> bool:
        return self.label == NOTHING

    def number(self, metric: str) -> float:
        return self.result.number(metric) or 0.0

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Of the difference of perplexities."""
        m = self.result.row.measurement
        low, high = m.values("ppl_difference_low"), m.values("ppl_difference_high")
        return (low[0], high[0]) if low and high else (None, None)

    @property
    def difference(self) -> str:
        """`0.52 (0.31 to 0.74)`."""
        low, high = self.interval
        text = units.format_number(self.number("ppl_difference"))
        return text if low is None or high is None else f"{text} ({units.format_interval(low, high, '')})"


def make(results: Sequence[Result], beside: Sequence[Row] = ()) -> Study | None:
    """beside: results of `generate` of the same run. None where nothing was quantised on any text."""
    sentences: list[Sentence] = []
    tables: list[StudyTable] = []
    bytes_, speed, differences = [], [], []
    for title, kept in _texts(results):
        stored = [one for one in kept if not one.plain]
        if not stored:
            continue
        sentences += _words(title, kept)
        tables.append(StudyTable(f"Quality, {title}", MEASURES, HEADINGS, tuple(map(_row, _ordered(kept)))))
        bytes_.append(_against_bytes(title, kept))
        differences.append(_differences(title, stored))
        found = list(_against_speed(title, kept, beside))
        speed += [panel for panel, _ in found]
        sentences += [told for _, words in found for told in words]
    if not tables:
        return None
    plots = (
        Plot(
            "quality-bytes",
            "Quality against bytes",
            "Mean KL divergence over bits for each weight that a pass reads, head included; lower left is better.",
            tuple(bytes_),
        ),
        Plot(
            "quality-speed",
            "Quality against speed",
            "Mean KL divergence over the median inter-token latency of generate with the same weights in this run; "
            "lower left is better.",
            tuple(speed),
        ),
        Plot("quality-difference", "Perplexity added", f"With its 95 % interval. {MEASURES}", tuple(differences)),
    )
    return Study("Quality", tuple(sentences), tuple(tables), tuple(plot for plot in plots if plot.panels), leads=True)


def _texts(results: Sequence[Result]) -> Iterator[tuple[str, list[Kept]]]:
    """What was stored anyhow, once each, by model and windows."""
    grouped: dict[PerplexityCase, dict[str, Kept]] = {}
    for result in results:
        if result.number("kl_mean") is None:
            continue
        with suppress(AttnlabError):
            case = PERPLEXITY.case_of(result.row.measurement)
            shared = replace(case, cache=SAME, weights=SAME, dtype="float32", batch=1)
            kept = Kept(result, case)
            grouped.setdefault(shared, {}).setdefault(kept.label, kept)
    for shared, found in grouped.items():
        title = f"{shared.text}, {shared.windows} windows of {shared.window}"
        if shared.stride != shared.window:
            title += f", {shared.stride} apart"
        yield f"{shared.model} on {title}", list(found.values())


def _ordered(kept: Sequence[Kept]) -> list[Kept]:
    return sorted(kept, key=lambda one: (not one.plain, one.number("kl_mean")))


def _front(points: Sequence[tuple[float, Kept]]) -> list[Kept]:
    """Those that none beats in cost and KL both, by rising cost."""
    by = {one.label: one for _, one in points}
    return [by[point.label] for point in front_of(_labelled(points))]


def _labelled(points: Sequence[tuple[float, Kept]]) -> Iterator[PlotPoint]:
    """A point for each, at its cost and its KL."""
    return (PlotPoint(cost, one.number("kl_mean"), label=one.label) for cost, one in points)


def _words(title: str, kept: Sequence[Kept]) -> Iterator[Sentence]:
    weights = [one for one in kept if one.case.weights != SAME and one.case.cache == SAME]
    for one in kept:
        if one.plain:
            yield sentence(f"{title}: perplexity {units.format_number(one.number('ppl'))} with {NOTHING}.")
    if len(weights) > 1:
        front = _front([(one.number("weight_bits"), one) for one in weights])
        ends = (("fewest bits", front[0]), ("least loss", front[-1]))
        for told, one in ends if len(front) > 1 else ends[:1]:
            yield sentence(
                f"With the {told}, ",
                name(one.label),
                f" at {units.format_number(one.number('weight_bits'))} bits a weight adds {one.difference} to it, "
                f"with a KL divergence of {units.format_number(one.number('kl_mean'))} nat in the mean and "
                f"{units.format_number(one.number('kl_p999'))} at 99.9 %, and "
                f"{units.format_share(one.number('same_top'))} of tokens with the same most likely successor.",
            )
        yield sentence("Nothing beats ", names([one.label for one in front]), " in bits and divergence both.")
    yield from _methods(weights)
    yield from _caches(kept)


def _methods(weights: Sequence[Kept]) -> Iterator[Sentence]:
    """Each format in which several methods chose: the best over round to nearest."""
    by_format: dict[tuple[str, str], dict[str, Kept]] = {}
    for one in weights:
        recipe = recipe_of(one.case.weights)
        if recipe is not None and not recipe.layers:
            by_format.setdefault((recipe.format, recipe.head), {})[recipe.method] = one
    for (format, _), methods in by_format.items():
        plain, others = methods.get("rtn"), [method for method in methods if method != "rtn"]
        if plain is None or not others or not plain.number("kl_mean"):
            continue
        best = min(others, key=lambda method: methods[method].number("kl_mean"))
        ratio = methods[best].number("kl_mean") / plain.number("kl_mean")
        told = "least" if ratio < 1 else "least of them, and no less than rounding to nearest"
        yield sentence(
            "In ", name(format), ", ", name(best), f" loses {told}: {units.format_ratio(ratio)} of rtn's KL."
        )


def _caches(kept: Sequence[Kept]) -> Iterator[Sentence]:
    """Weights and cache in formats at once, beside each of them alone."""
    by = {(one.case.weights, one.case.cache): one for one in kept if one.case.dtype == "float32"}
    for (weights, cache), both in by.items():
        alone = by.get((weights, SAME)), by.get((SAME, cache))
        if weights == SAME or cache == SAME or alone[0] is None or alone[1] is None:
            continue
        parts = [units.format_number(one.number("kl_mean")) for one in (both, alone[0], alone[1]) if one is not None]
        yield sentence(
            name(both.label),
            f" together cost {parts[0]} nat; the weights alone {parts[1]}, the cache alone {parts[2]}.",
        )


def _row(one: Kept) -> tuple[str, ...]:
    return (
        one.label,
        units.format_number(one.number("weight_bits")),
        units.format_number(one.number("cache_bits")),
        units.format_number(one.number("ppl")),
        units.MISSING if one.plain else one.difference,
        *(units.format_number(one.number(metric)) for metric in ("kl_mean", "kl_p99", "kl_p999")),
        units.format_share(one.number("same_top")),
        units.format_share(one.number("rms_probability_change")),
    )


def _against_bytes(title: str, kept: Sequence[Kept]) -> Panel:
    points = [(one.number("weight_bits"), one) for one in _ordered(kept) if one.case.cache == SAME]
    return replace(_scatter(title, "bits a weight", points), x_scale="linear")


def _scatter(title: str, x_label: str, points: Sequence[tuple[float, Kept]], x_unit: str = "") -> Panel:
    """With the front of what none beats in both, by name.

    What loses nothing is left out where the others span decades: it has no place on a logarithmic axis.
    """
    losing = [(x, one) for x, one in points if one.number("kl_mean") > 0]
    wide = len(losing) > 1 and spans_decades([one.number("kl_mean") for _, one in losing])
    shown = losing if wide else points
    return Panel(
        "scatter",
        title,
        x_label,
        "mean KL divergence",
        "nat",
        tuple(_mark(one, x) for x, one in shown),
        x_unit=x_unit,
        scale="log" if wide else None,
        front=front_of(_labelled(shown)),
    )


def _mark(one: Kept, x: float) -> Curve:
    m = one.result.row.measurement
    return Curve(one.label, (PlotPoint(x, one.number("kl_mean"), implementation=m.implementation, case=m.case_id),))


def _differences(title: str, stored: Sequence[Kept]) -> Panel:
    ordered = sorted(stored, key=lambda one: one.number("ppl_difference"))
    curves = tuple(
        Curve(one.label, (PlotPoint(one.number("ppl_difference"), row, *one.interval),))
        for row, one in enumerate(ordered)
    )
    rows = tuple(one.label for one in ordered)
    return Panel("dots", title, "perplexity added", "", "", curves, rows, reference=0.0, scale="linear")


def _against_speed(title: str, kept: Sequence[Kept], beside: Sequence[Row]) -> Iterator[tuple[Panel, list[Sentence]]]:
    """A panel for each implementation of `generate` and kind of answer that was timed with several of these."""
    by = {(one.case.model, one.case.weights, one.case.cache): one for one in kept}
    grouped: dict[tuple[str, str], list[tuple[float, Kept]]] = {}
    for row in beside:
        gap = measured.median(measured.of_gaps(row.measurement)) if row.passed else None
        if gap is None:
            continue
        with suppress(AttnlabError):
            case = GENERATE.case_of(row.measurement)
            one = by.get((case.model, case.weights, case.cache))
            if one is not None and case.weights != Q4_1:
                shared = replace(case, weights=SAME, cache=SAME, layout="contiguous_bhsd")
                grouped.setdefault((row.measurement.implementation, shared.id), []).append((gap, one))
    for (implementation, case_id), points in grouped.items():
        if len({one.label for _, one in points}) < 2:
            continue
        front = names([one.label for one in _front(points)])
        told = sentence("By the gaps of ", name(implementation), f" on {case_id}, nothing beats ")
        panel_title = f"{implementation}, {case_id}; {title}"
        ordered = sorted(points, key=lambda point: point[0])
        yield (
            _scatter(panel_title, "inter-token latency", ordered, "ns"),
            [sentence(told, front, " in time and divergence both.")],
        )
