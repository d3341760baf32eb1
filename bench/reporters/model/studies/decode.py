"""Which layout and format of the cache to serve with: latency, bits, error, capacity, and from where each one pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.contract.labels import label_cases
from attnlab.bench.errors import AttnlabError
from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.caches.cache import check_fit
from attnlab.bench.llm.caches.capacity import Memory, Occupancy, Traffic, simulate
from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence
from attnlab.bench.stats.break_even import BreakEven, CostLine, Pays, break_even, fit_line

OPERATOR = "decode_attention"

PLAIN = ("contiguous_bhsd", "same")
LAYERS = 32
MEMORY_BYTES = 8 * units.GIB
TRAFFIC = Traffic()
LATENCY_CAPTION = "Median of one call in each layout and format; lower is better."
PARETO_CAPTION = (
    "The format's own error (attention over the cache as stored, against the tokens as they were) over the fastest "
    "latency at the longest context; lower left is better."
)
ASSUMPTION = (
    f"Simulated: {LAYERS} layers in {units.format_bytes(MEMORY_BYTES)}; log-normal prompts (median "
    f"{TRAFFIC.prompt_median:.0f}, σ {TRAFFIC.prompt_sigma:g}) and answers (median {TRAFFIC.answer_median:.0f}, σ "
    f"{TRAFFIC.answer_sigma:g}), {TRAFFIC.longest} tokens at most; {units.format_share(TRAFFIC.shared_share)} of "
    f"prompts begin with the same {TRAFFIC.shared_tokens} tokens; the queue is never empty."
)


@dataclass(frozen=True)
class CacheSetting:
    """What cases of one comparison share: all axes but layout, cache and context; label: among the others."""

    case: DecodeCase
    label: str


@dataclass(frozen=True)
class TimedEntry:
    """One result that was timed, with its case."""

    result: Result
    case: DecodeCase

    @property
    def variant(self) -> tuple[str, str]:
        return self.case.layout, self.case.cache

    @property
    def label(self) -> str:
        return label(self.variant)

    @property
    def context(self) -> int:
        return self.case.longest

    @property
    def median_ns(self) -> float:
        return self.result.median_ns or 0.0


def label(variant: tuple[str, str]) -> str:
    """`paged:16 int8_token`; the dtype's own format is left out, and the plain layout beside another format."""
    layout, cache = variant
    return layout if cache == "same" else cache if layout == PLAIN[0] else f"{layout} {cache}"


def make(results: Sequence[Result]) -> Study | None:
    """None where no setting was timed in two layouts or formats."""
    sentences: list[Sentence] = []
    tables: list[StudyTable] = []
    latency: list[Panel] = []
    pareto: list[Panel] = []
    for setting, entries in _settings(results):
        found = _SettingEntries(setting, entries)
        sentences += found.sentences()
        tables += found.tables()
        latency += found.latency()
        pareto += found.pareto()
    if not tables:
        return None
    capacity, words, panel = _capacity(results)
    plots = (
        Plot("layouts", "Latency by context", LATENCY_CAPTION, compared(latency)),
        Plot("pareto", "Error against latency", PARETO_CAPTION, compared(pareto)),
        Plot("capacity", "Sequences that fit", ASSUMPTION, (panel,) if panel else ()),
    )
    return Study(
        "Layouts and formats of the cache",
        (*sentences, *words),
        (*tables, *([capacity] if capacity else [])),
        tuple(plot for plot in plots if plot.panels),
    )


def _settings(results: Sequence[Result]) -> Iterator[tuple[CacheSetting, list[TimedEntry]]]:
    """Timed results by what they share, where there are two variants or more."""
    grouped: dict[str, tuple[DecodeCase, list[TimedEntry]]] = {}
    for result in results:
        if not result.timed:
            continue
        case = DECODE_ATTENTION.case_of(result.row.measurement)
        shared = DecodeCase(
            batch=case.batch,
            q_heads=case.q_heads,
            kv_heads=case.kv_heads,
            q_len=case.q_len,
            head_dim=case.head_dim,
            dtype=case.dtype,
            mask=case.mask,
            inputs=case.inputs,
            context=max(case.q_len, 1),
        )
        grouped.setdefault(shared.id, (shared, []))[1].append(TimedEntry(result, case))
    several = {key: found for key, found in grouped.items() if len({entry.variant for entry in found[1]}) > 1}
    labels = label_cases(several, DecodeCase).by_id
    for key, (shared, entries) in several.items():
        label = labels[key].without("context") or labels[key].family("context")
        yield CacheSetting(shared, label), entries


@dataclass(frozen=True)
class Fit:
    """One variant by one implementation: its line over the context, and where it crosses the plain one's."""

    variant: tuple[str, str]
    implementation: str
    line: CostLine
    crossing: BreakEven | None

    @property
    def row(self) -> tuple[str, ...]:
        slope, (low, high) = self.line.slope, self.line.slope_interval
        return (
            label(self.variant),
            self.implementation,
            _with_interval(self.line.intercept, *self.line.intercept_interval),
            _with_interval(1000 * slope, 1000 * low, 1000 * high),
            _said(self.crossing) if self.crossing else "the plain one",
        )


def _with_interval(ns: float, low: float, high: float) -> str:
    return f"{units.format_time(ns)} ({units.format_interval(low, high, 'ns')})"


class _SettingEntries:
    """The entries of one setting."""

    def __init__(self, setting: CacheSetting, entries: list[TimedEntry]) -> None:
        self.setting, self.entries = setting, entries
        self.contexts = sorted({entry.context for entry in entries})
        self.variants = list(dict.fromkeys(sorted((e.variant for e in entries), key=lambda v: (v[1] != "same", v))))
        self.implementations = list(dict.fromkeys(entry.result.implementation for entry in entries))
        self.fits = list(self._fits())

    def at(self, variant: tuple[str, str], context: int, implementation: str | None = None) -> TimedEntry | None:
        """The fastest entry, of one implementation or of any."""
        found = [
            e
            for e in self.entries
            if e.variant == variant and e.context == context and implementation in (None, e.result.implementation)
        ]
        return min(found, key=lambda e: e.median_ns, default=None)

    def longest(self) -> list[tuple[tuple[str, str], TimedEntry]]:
        """Each variant's fastest at the longest context that it was timed at."""
        found = []
        for variant in self.variants:
            entry = self.at(variant, self.contexts[-1])
            if entry is not None:
                found.append((variant, entry))
        return found

    def sentences(self) -> Iterator[Sentence]:
        longest = dict(self.longest())
        plain = longest.get(PLAIN)
        if plain is None or len(longest) < 2:
            return
        others = {variant: entry for variant, entry in longest.items() if variant != PLAIN}
        best = min(others.values(), key=lambda e: e.median_ns)
        ratio = plain.median_ns / best.median_ns
        error, bits = best.result.number("format_error"), best.result.number("cache_bits")
        kept = [
            *known("{} bits a value", bits, units.format_number),
            *known("a format error of {}", error, units.format_share),
        ]
        yield sentence(
            "For ",
            name(self.setting.label),
            f" at a context of {self.contexts[-1]}, ",
            name(best.label),
            " by ",
            name(best.result.implementation),
            f" takes {units.format_time(best.median_ns)}, {units.format_ratio(ratio)} as fast as contiguous keys and "
            f"values by ",
            name(plain.result.implementation),
            f"{', at ' if kept else ''}{listed(kept)}.",
        )
        for fit in self.fits:
            if fit.crossing is not None and fit.crossing.pays is Pays.FROM:
                yield sentence(name(label(fit.variant)), f" by {fit.implementation} pays {_said(fit.crossing)}.")

    def tables(self) -> Iterator[StudyTable]:
        rows = []
        plain = self.at(PLAIN, self.contexts[-1])
        for variant, entry in self.longest():
            by_implementation = (self.at(variant, self.contexts[-1], i) for i in self.implementations)
            rows.append(
                (
                    label(variant),
                    units.format_number(entry.result.number("cache_bits")),
                    units.format_share(entry.result.number("format_error")),
                    *(units.format_time(e.median_ns) if e else units.MISSING for e in by_implementation),
                    units.format_ratio(plain.median_ns / entry.median_ns if plain else None),
                    entry.result.share("share_of_ceiling"),
                )
            )
        if len(rows) > 1:
            yield StudyTable(
                f"{self.setting.label} at context {self.contexts[-1]}",
                "Speed-up is of the fastest over the fastest on contiguous keys and values; bits count scales, minima "
                "and the block table.",
                (
                    "layout and format",
                    "bits a value",
                    "format error",
                    *self.implementations,
                    "speed-up",
                    "of ceiling",
                ),
                tuple(rows),
            )
        if self.fits:
            yield StudyTable(
                f"From where it pays: {self.setting.label}",
                "Lines fitted to latency over context, by implementation; intervals at 95 %, of the fit's residuals.",
                ("layout and format", "implementation", "fixed cost", "for 1,000 tokens", "pays"),
                tuple(fit.row for fit in self.fits),
            )

    def _fits(self) -> Iterator[Fit]:
        """For each variant and implementation that has three contexts in common with the plain one."""
        for implementation in self.implementations:
            for variant in self.variants:
                pairs = [
                    (context, plain.median_ns, other.median_ns)
                    for context in self.contexts
                    if (plain := self.at(PLAIN, context, implementation))
                    and (other := self.at(variant, context, implementation))
                ]
                if len(pairs) < 3:
                    continue
                contexts, plains, others = zip(*pairs, strict=True)
                crossing = break_even(contexts, plains, others) if variant != PLAIN else None
                yield Fit(variant, implementation, fit_line(contexts, others), crossing)

    def latency(self) -> Iterator[Panel]:
        """A panel for each implementation that was timed in several variants over several contexts."""
        for implementation in self.implementations:
            curves = []
            for variant in self.variants:
                found = [e for c in self.contexts if (e := self.at(variant, c, implementation)) is not None]
                if len(found) > 1:
                    points = (PlotPoint(e.context, e.median_ns, *(e.result.interval_ns or (None, None))) for e in found)
                    curves.append(Curve(label(variant), tuple(points)))
            if len(curves) > 1:
                title = f"{implementation}, {self.setting.label}"
                yield Panel("lines", title, "context", "latency", "ns", tuple(curves))

    def pareto(self) -> Iterator[Panel]:
        curves = []
        for variant, entry in self.longest():
            error = entry.result.number("format_error")
            if error is not None:
                curves.append(Curve(label(variant), (PlotPoint(entry.median_ns, error),)))
        if len(curves) > 1:
            title = f"{self.setting.label}, context {self.contexts[-1]}"
            yield Panel("scatter", title, "latency", "format error", "share", tuple(curves), x_unit="ns")


def _said(found: BreakEven) -> str:
    if found.pays is Pays.FROM:
        low, high = units.format_count(found.low), units.format_count(found.high)
        between = f" (95 %: {low} to {high})" if units.MISSING not in (low, high) else ""
        return f"from a context of {units.format_count(found.length)}{between}"
    return {
        Pays.ALWAYS: "at every context measured",
        Pays.NEVER: "at none, and not beyond",
        Pays.UNKNOWN: "not known: the noise is larger than the difference",
    }[found.pays]


def _capacity(results: Sequence[Result]) -> tuple[StudyTable | None, list[Sentence], Panel | None]:
    """What each variant that was measured, right or not, would let run; for the shape with most bytes a token."""
    cases = [DECODE_ATTENTION.case_of(result.row.measurement) for result in results]
    if not cases:
        return None, [], None
    shape = max(cases, key=lambda c: c.kv_heads * c.head_dim)
    variants = list(dict.fromkeys((c.layout, c.cache) for c in cases))
    found = {variant: _fits(shape, variant) for variant in variants}
    known = {variant: occupancy for variant, occupancy in found.items() if occupancy is not None}
    if len(known) < 2:
        return None, [], None
    rows = tuple(
        (
            label(variant),
            f"{o.sequences:.1f}",
            units.format_share(o.used),
            units.format_share(o.reserved),
            units.format_share(o.wasted),
            units.format_share(o.restarted),
        )
        for variant, o in known.items()
    )
    heads = f"{shape.kv_heads} key-value heads of {shape.head_dim}"
    table = StudyTable(
        f"Sequences that fit, {heads}",
        ASSUMPTION,
        ("layout and format", "sequences at a time", "memory used", "reserved", "wasted of it", "restarted"),
        rows,
    )
    most = max(known, key=lambda variant: known[variant].sequences)
    least = min(known, key=lambda variant: known[variant].sequences)
    words = sentence(
        f"In the same memory ({LAYERS} layers, {units.format_bytes(MEMORY_BYTES)}, simulated requests) ",
        name(label(most)),
        f" lets {known[most].sequences:.0f} sequences run at a time and ",
        name(label(least)),
        f" {known[least].sequences:.0f}.",
    )
    curves = (Curve(label(variant), (PlotPoint(o.sequences, row),)) for row, (variant, o) in enumerate(known.items()))
    panel = Panel("dots", heads, "sequences at a time", "", "", tuple(curves), tuple(map(label, known)))
    return table, [words], panel


def _fits(shape: DecodeCase, variant: tuple[str, str]) -> Occupancy | None:
    layout, format = layout_of(variant[0]), format_of(variant[1])
    if layout.wraps or check_fit(layout, format, shape.head_dim) is not None:
        return None  # a ring forgets: it serves windows, and is not to be compared
    memory = Memory(
        MEMORY_BYTES,
        LAYERS,
        shape.kv_heads,
        shape.head_dim,
        format.bits_a_value(shape.head_dim, shape.torch_dtype),
    )
    try:
        return simulate(layout, memory, TRAFFIC)
    except AttnlabError:
        return None
