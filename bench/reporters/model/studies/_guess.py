"""One speculative result beside plain decoding."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.llm.generation.decoding import SYNTHETIC
from attnlab.bench.llm.generation.events import PASSES
from attnlab.bench.llm.generation.measured import NEAR_TIES, median
from attnlab.bench.reporters.model.answers import Answer
from attnlab.bench.reporters.model.logged import whole_ns
from attnlab.bench.reporters.model.studies._paired import ratio_text
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence

SHORT = {"prompt_lookup": "lookup", "draft_model": "draft", SYNTHETIC: "synthetic"}


class SpeculativeResult:
    """One speculative result beside plain decoding by the same implementation."""

    def __init__(self, answer: Answer, plain: Answer) -> None:
        self.answer, self.plain = answer, plain
        self.speedup = answer.over(plain, whole_ns)
        self.rate = answer.result.number("acceptance_rate")

    @property
    def synthetic(self) -> bool:
        """Whether its guesses are of no drafter: a point of a curve, and no result of a method."""
        return self.answer.case.decoding.synthetic is not None

    @property
    def cost(self) -> float:
        """Of a guess, in plain passes."""
        draft, plain = self.pass_ns("draft"), median(self.plain.result.row.measurement.values("decode_pass"))
        return draft / plain if draft and plain else 0.0

    def pass_ns(self, kind: str) -> float | None:
        """The median time of a pass of that kind."""
        return median(self.answer.result.row.measurement.values(f"{kind}_pass"))

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
        times = {kind: self.pass_ns(kind) for kind in PASSES}
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
