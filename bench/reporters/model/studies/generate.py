"""What generation feels like and costs: first token and gaps, guesses that pay, batches, memory by context."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.contract.axes import DTYPES
from attnlab.bench.llm.generation.events import PASSES
from attnlab.bench.llm.generation.measured import NEAR_TIES, median
from attnlab.bench.reporters.model.answers import OTHER, WAITING, Answer, answers, first_token_ns, gap_ns, whole_ns
from attnlab.bench.reporters.model.loads import load_panels
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence
from attnlab.bench.stats.rounds import Ratio

OPERATOR = "generate"

STRETCHES = 8  # marks on a line of gaps over an answer
RATIOS = (
    "Ratios are paired: the median over rounds in which both took turns on the same prompts, with its 95 % interval."
)
SHORT = {"prompt_lookup": "lookup", "draft_model": "draft"}
PARTS = (WAITING, "tokenise", "prefill", "sample", OTHER)


def make(results: Sequence[Result]) -> Study | None:
    """None where no generation was timed."""
    found = answers(results)
    if not found:
        return None
    baseline = next((b for r in results for b in [r.row.baseline] if b is not None), None)
    base = baseline.implementation if baseline is not None else None
    guessed = [_SpeculativeResult(a, plain) for a in found if a.case.decoding.speculative for plain in _plain(a, found)]
    tables = [*_answering(found, base), *_first_token(found), *_guessing(guessed), *_serving(found)]
    plots = (
        Plot(
            "itl",
            "Gaps over the answer",
            "Median inter-token latency by place in the answer; lower is better.",
            compared(list(_gap_panels(found, Answer.gaps_by_place, "inter-token latency"))),
        ),
        Plot(
            "icl",
            "Stalls over the answer",
            "Largest gap between chunks by place in the answer, not shared among the "
            "tokens that come after it; lower is better.",
            compared(list(_gap_panels(found, Answer.stalls_by_place, "inter-chunk latency"))),
        ),
        Plot(
            "ttft",
            "The first token",
            "Median time of each part of the time to first token; lower is better.",
            tuple(_part_panels(found)),
        ),
        Plot(
            "speculation",
            "Guesses that pay",
            f"Speed-up over plain decoding, by guesses accepted. {RATIOS}",
            compared(list(_guess_panels(guessed))),
        ),
        Plot(
            "load",
            "Throughput and latency",
            "Tokens of all requests a second over what each request waits, load by load; upper left is better, and "
            "beyond the knee more load costs more waiting than it brings.",
            tuple(load_panels(found)),
        ),
        Plot(
            "context",
            "Memory by context",
            "Bytes of the key-value cache by length of the prompt.",
            compared(list(_memory_panels(found))),
        ),
    )
    words = [*_compared(found, base), *(guess.words() for guess in guessed), *_batched(found)]
    return Study(
        "Generation", tuple(filter(None, words)), tuple(tables), tuple(plot for plot in plots if plot.says_something)
    )


def _plain(answer: Answer, among: Sequence[Answer]) -> Iterator[Answer]:
    return (a for a in among if a.implementation == answer.implementation and a.case == answer.plain)


def _by_case(found: Sequence[Answer]) -> list[list[Answer]]:
    grouped: dict[str, list[Answer]] = {}
    for answer in found:
        grouped.setdefault(answer.case.id, []).append(answer)
    return list(grouped.values())


def _ratio(found: Ratio | None) -> str:
    if found is None:
        return units.MISSING
    if found.low is None or found.high is None:
        return units.format_ratio(found.median)
    return f"{units.format_ratio(found.median)} ({units.three_digits(found.low)} to {units.three_digits(found.high)})"


def _compared(found: Sequence[Answer], base: str | None) -> Iterator[Sentence]:
    """The best of each case against the baseline."""
    for members in _by_case(found):
        others = [a for a in members if a.implementation != base]
        plain = next((a for a in members if a.implementation == base), None)
        if plain is None or not others:
            continue
        best = min(others, key=_to_wait)
        told = [
            *known("its first token after {}", best.result.number("ttft_ns"), units.format_time),
            *known("one every {}", best.result.number("itl_ns"), units.format_time),
            *known("no stall over {}", best.result.number("icl_max_ns"), units.format_time),
        ]
        turned = {"first token": best.over(plain, first_token_ns), "gaps": best.over(plain, gap_ns)}
        ratios = [f"{_ratio(ratio)} in its {what}" for what, ratio in turned.items() if ratio is not None]
        if told:
            against = sentence(f": {listed(ratios)} as fast as ", name(plain.implementation)) if ratios else ()
            yield sentence(
                "On ", name(best.label), ", ", name(best.implementation), f" has {listed(told)}", against, "."
            )


def _to_wait(answer: Answer) -> float:
    """A call's length, or, where that is the arrivals', the time to first token."""
    known = (answer.result.number(name) for name in ("latency_ns", "ttft_ns"))
    return next((value for value in known if value is not None), float("inf"))


ANSWERING = ("TTFT", "ITL", "ITL p99", "ICL", "largest stall", "tok/s", "decode of bandwidth")


def _figures(a: Answer) -> tuple[str, ...]:
    return (
        units.format_time(a.result.number("ttft_ns")),
        units.format_time(a.result.number("itl_ns")),
        units.format_time(a.result.number("itl_p99_ns")),
        units.format_time(a.result.number("icl_ns")),
        units.format_time(a.result.number("icl_max_ns")),
        units.format_number(a.result.number("output_tok_per_s")),
        a.result.share("decode_mbu"),
    )


def _answering(found: Sequence[Answer], base: str | None) -> Iterator[StudyTable]:
    """A table for each case that several implementations answered, and one of all others."""
    single: list[Answer] = []
    for members in _by_case(found):
        plain = next((a for a in members if a.implementation == base), None)
        if len(members) == 1:
            single += members
        elif plain is None:
            rows = tuple((a.implementation, *_figures(a)) for a in members)
            yield StudyTable(members[0].label, "Medians.", ("implementation", *ANSWERING), rows)
        else:
            headings = (f"TTFT over {base}", f"ITL over {base}", f"whole over {base}")
            yield StudyTable(
                members[0].label,
                f"Medians. {RATIOS}",
                ("implementation", *ANSWERING, *headings),
                tuple((a.implementation, *_figures(a), *_against(a, plain)) for a in members),
            )
    if single:
        rows = tuple((f"{a.implementation}, {a.label}", *_figures(a)) for a in single)
        yield StudyTable("Answered by one implementation", "Medians.", ("result", *ANSWERING), rows)


def _against(answer: Answer, plain: Answer) -> tuple[str, ...]:
    if answer is plain:
        return (units.MISSING,) * 3
    first, gap, whole = (_ratio(answer.over(plain, figure)) for figure in (first_token_ns, gap_ns, whole_ns))
    return first, gap, units.MISSING if answer.paced else whole


def _first_token(found: Sequence[Answer]) -> Iterator[StudyTable]:
    rows = tuple(
        (f"{a.implementation}, {a.label}", *(units.format_time(parts.get(part)) for part in PARTS))
        for a in found
        if (parts := a.parts_of_first_token()) is not None
    )
    if rows:
        caption = "Medians; the last column is what of the time to first token is in none of the others."
        yield StudyTable("Where the time to first token goes", caption, ("result", *PARTS), rows)


class _SpeculativeResult:
    """One speculative result beside plain decoding by the same implementation."""

    def __init__(self, answer: Answer, plain: Answer) -> None:
        self.answer, self.plain = answer, plain
        self.speedup = answer.over(plain, whole_ns)
        self.rate = answer.result.number("acceptance_rate")

    @property
    def label(self) -> str:
        return f"{self.answer.case.decoding.write()} by {self.answer.implementation}, {self.answer.case.prompts}"

    @property
    def short_label(self) -> str:
        case = self.answer.case
        return f"{SHORT[case.decoding.method]}{case.decoding.number} {self.answer.implementation}"

    def words(self) -> Sentence:
        """Nothing where neither speed-up nor guesses are known."""
        result = self.answer.result
        told = [f"is {_ratio(self.speedup)} as fast as one token a pass"] if self.speedup is not None else []
        told += known("had {} of its guesses accepted", self.rate, units.format_share)
        told += known("made {} tokens a pass", result.number("acceptance_length"), units.format_number)
        subject = (name(self.answer.case.decoding.write()), " by ", name(self.answer.implementation))
        return sentence(*subject, " on ", name(self.plain.label), f" {listed(told)}.") if told else ()

    def row(self) -> tuple[str, ...]:
        m = self.answer.result.row.measurement
        times = {kind: median(m.values(f"{kind}_pass")) for kind in PASSES}
        return (
            self.label,
            self.answer.case.dtype,
            _ratio(self.speedup),
            units.format_share(self.rate),
            units.format_number(self.answer.result.number("acceptance_length")),
            self._by_place(),
            units.format_time(median(self.plain.result.row.measurement.values("decode_pass"))),
            units.format_time(times["verify"]),
            units.format_time(times["draft"]),
            self._near_ties(),
        )

    def _by_place(self) -> str:
        """The share of first, second, … guesses that were accepted."""
        m = self.answer.result.row.measurement
        pairs = list(zip(m.values("drafted"), m.values("accepted"), strict=True))
        shares = []
        for place in range(self.answer.case.decoding.guesses):
            tried = sum(drafted > place for drafted, _ in pairs)
            if tried:
                shares.append(units.three_digits(100 * sum(accepted > place for _, accepted in pairs) / tried))
        return " / ".join(shares) or units.MISSING

    def _near_ties(self) -> str:
        """The largest share of tokens that were not the reference's first choice, within the noise."""
        check = self.answer.result.row.measurement.check
        ties = [d.value for s in check.sets for d in s.deviations if d.name == NEAR_TIES] if check else []
        return units.format_share(max(ties, default=None))


def _guessing(guessed: Sequence[_SpeculativeResult]) -> Iterator[StudyTable]:
    if guessed:
        yield StudyTable(
            "Speculative decoding",
            f"{RATIOS} Near-ties are tokens that the reference holds second, within the noise.",
            (
                "method",
                "dtype",
                "speed-up",
                "accepted",
                "tokens a pass",
                "by place, %",
                "plain pass",
                "verify pass",
                "draft pass",
                "near-ties",
            ),
            tuple(guess.row() for guess in guessed),
        )


def _served(found: Sequence[Answer]) -> list[Answer]:
    return [a for a in found if a.case.requests > 1]


def _how(answer: Answer) -> str:
    return f"{answer.case.batching}, {answer.case.arrivals.write().replace('_', '.')}"


def _serving(found: Sequence[Answer]) -> Iterator[StudyTable]:
    rows = []
    for a in _served(found):
        m, case = a.result.row.measurement, a.case
        rows.append(
            (
                f"{a.implementation}, {a.label}",
                f"{case.requests} by {case.batch}",
                _how(a),
                units.format_number(a.result.number("output_tok_per_s")),
                units.format_time(a.result.number("ttft_ns")),
                units.format_time(a.result.number("tpot_ns")),
                units.format_time(a.result.number("itl_p99_ns")),
                units.format_time(a.result.number("icl_max_ns")),
                units.format_number(a.result.number("offered_per_s")),
                units.format_number(a.result.number("answered_per_s")),
                units.format_number(a.result.number("goodput_per_s")),
                units.format_number(a.result.number("failed_requests")),
                units.format_number(median(m.values("preemptions"))),
                units.format_number(median(m.values("reused_tokens"))),
            )
        )
    if rows:
        yield StudyTable(
            "Batches under load",
            f"Medians. Goodput counts requests that keep the objectives of their case: {_objectives(_served(found))}.",
            (
                "result",
                "requests",
                "batching, arrivals",
                "tok/s",
                "TTFT",
                "TPOT",
                "ITL p99",
                "largest stall",
                "offered, req/s",
                "answered, req/s",
                "goodput, req/s",
                "failed",
                "preempted",
                "tokens reused",
            ),
            tuple(rows),
        )


def _objectives(served: Sequence[Answer]) -> str:
    known = dict.fromkeys(f"TTFT {a.case.ttft_ms} ms and TPOT {a.case.tpot_ms} ms" for a in served)
    return "; ".join(known)


def _batched(found: Sequence[Answer]) -> Iterator[Sentence]:
    """Continuous against static batching at the same load."""
    for a in found:
        static = next((b for b in found if _same_load(a, b)), None)
        if a.case.batching == "continuous" and static is not None:
            sides = [_load_told(side) for side in (a, static)]
            first, whole = a.over(static, first_token_ns), None if a.paced else a.over(static, whole_ns)
            ratios = [f"{_ratio(first)} as fast to the first token"] if first is not None else []
            ratios += [f"{_ratio(whole)} to the last"] if whole is not None else []
            if all(sides):
                yield sentence(
                    "At the same load, continuous batching by ",
                    name(a.implementation),
                    " on ",
                    name(a.label),
                    f" gives {sides[0]}, static batching {sides[1]}{f': {listed(ratios)}' if ratios else ''}.",
                )


def _load_told(a: Answer) -> str:
    return listed(
        [
            *known("{} tok/s", a.result.number("output_tok_per_s"), units.format_number),
            *known("a first token after {}", a.result.number("ttft_ns"), units.format_time),
        ]
    )


def _same_load(a: Answer, b: Answer) -> bool:
    def load(x: Answer) -> tuple[object, ...]:
        c = x.case
        return (
            x.implementation,
            c.model,
            c.prompts,
            c.batch,
            c.requests,
            c.prompt_len,
            c.new_tokens,
            c.decoding,
            c.arrivals,
            c.dtype,
        )

    return b.case.batching == "static" and load(a) == load(b)


def _gap_panels(
    found: Sequence[Answer], by_place: Callable[[Answer, int], list[tuple[float, float]]], label: str
) -> Iterator[Panel]:
    for members in _by_case(found):
        if len(members) == 1 and members[0].case.requests == 1:
            continue
        curves = []
        for a in members:
            places = by_place(a, max(1, a.case.new_tokens // STRETCHES))
            if len(places) > 1:
                curves.append(Curve(a.implementation, tuple(PlotPoint(x, y) for x, y in places)))
        if curves:
            yield Panel("lines", members[0].label, "token of the answer", label, "ns", tuple(curves), whole=True)


def _part_panels(found: Sequence[Answer]) -> Iterator[Panel]:
    """A bar for each answer whose parts were logged."""
    known = [(a, parts) for a in found if (parts := a.parts_of_first_token()) is not None]
    curves = []
    for part in PARTS:
        timed = [(row, a, value) for row, (a, parts) in enumerate(known) if (value := parts.get(part))]
        points = (PlotPoint(v, row, None, None, a.implementation, a.case.id) for row, a, v in timed)
        curves += [Curve(part, tuple(points))] if timed else []
    if curves:
        rows = tuple(f"{a.implementation}, {a.label}" for a, _ in known)
        yield Panel("bars", "all cases", "time to first token", "", "ns", tuple(curves), rows, metric="ttft_ns")


def _guess_panels(guessed: Sequence[_SpeculativeResult]) -> Iterator[Panel]:
    grouped: dict[str, list[Curve]] = {}
    for g in guessed:
        if g.rate and g.speedup is not None:
            label = f"{g.answer.case.prompts}, {g.answer.case.dtype}"
            grouped.setdefault(label, []).append(Curve(g.short_label, (PlotPoint(g.rate, g.speedup.median),)))
    for label, curves in grouped.items():
        yield Panel("scatter", label, "guesses accepted", "speed-up", "ratio", tuple(curves), x_unit="share")


def _memory_panels(found: Sequence[Answer]) -> Iterator[Panel]:
    """A panel for each layout and batch, a line for each dtype and format."""
    grouped: dict[str, dict[str, dict[int, float]]] = {}
    for a in found:
        cache, case = a.result.number("kv_cache_bytes"), a.case
        if cache and case.batching == "static":
            panel = grouped.setdefault(f"{case.layout}, batch {case.batch}", {})
            panel.setdefault(f"{DTYPES[case.dtype]} {case.cache}", {})[case.prompt_len] = cache
    for title, lines in grouped.items():
        curves = tuple(
            Curve(label, tuple(PlotPoint(x, y) for x, y in sorted(points.items())))
            for label, points in lines.items()
            if len(points) > 1
        )
        if curves:
            yield Panel("lines", title, "prompt_len", "key-value cache", "B", curves)
