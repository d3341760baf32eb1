"""Speculative decoding: guesses that pay, each result beside plain decoding by the same implementation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.llm.generation.events import PASSES
from attnlab.bench.llm.generation.measured import NEAR_TIES, median
from attnlab.bench.reporters.model.answers import Answer
from attnlab.bench.reporters.model.logged import whole_ns
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.studies._paired import RATIOS, ratio_text
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence

SHORT = {"prompt_lookup": "lookup", "draft_model": "draft"}


class SpeculativeResult:
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
        told = [f"is {ratio_text(self.speedup)} as fast as one token a pass"] if self.speedup is not None else []
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
            ratio_text(self.speedup),
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


def guess_tables(guessed: Sequence[SpeculativeResult]) -> Iterator[StudyTable]:
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


def guess_panels(guessed: Sequence[SpeculativeResult]) -> Iterator[Panel]:
    grouped: dict[str, list[Curve]] = {}
    for g in guessed:
        if g.rate and g.speedup is not None:
            label = f"{g.answer.case.prompts}, {g.answer.case.dtype}"
            grouped.setdefault(label, []).append(Curve(g.short_label, (PlotPoint(g.rate, g.speedup.median),)))
    for label, curves in grouped.items():
        yield Panel("scatter", label, "guesses accepted", "speed-up", "ratio", tuple(curves), x_unit="share")
