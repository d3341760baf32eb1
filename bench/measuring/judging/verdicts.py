"""What is asked of a judge and what it answers; plain records, read back strictly by `store.codec`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW, Operator
from attnlab.bench.measuring.judging.refusals import NotJudged
from attnlab.bench.store.records import CheckRecord, Outcome, SetDeviations

SECOND_CALL = "{} (second call)"
TIMED = "timed"
Owed = tuple[str, str, Content]


@dataclass(frozen=True)
class OutputForm:
    """Shape and dtype (such as `float32`) of one output that is handed over."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Question:
    """Outputs of one implementation, to be judged.

    name: of the set of inputs ("drawn", "redrawn", "needles", "timed"). draw, content: how the inputs are made; of
    needles the seed alone counts. calls: how many calls on these inputs gave outputs, which lie one after another.
    forms: of each output of a call. inputs: the digest of what must not change in the inputs after the calls, None
    where it was not taken. before: contents that the inputs had earlier, as a wrong output may be theirs. rounds: what
    the implementation declares to round beyond the contract, see `Implementation`.
    """

    name: str
    draw: str
    content: Content
    calls: int
    forms: tuple[OutputForm, ...]
    inputs: str | None = None
    before: tuple[Content, ...] = ()
    rounds: str | None = None


@dataclass(frozen=True)
class Ruling:
    """What a judge says of one question.

    sets: figures of the first call, and of the second where its bits differ. deterministic: whether they agreed to
    the bit; None where there was one call. coverage: share of the output compared with the oracle. outcome, reason:
    why it is refused without figures; None where there are figures. because: what is known of why figures are wrong.
    withheld: optional outputs that the implementation kept to itself.
    """

    sets: tuple[SetDeviations, ...] = ()
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()
    coverage: float = 1.0
    deterministic: bool | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    because: str | None = None
    withheld: tuple[str, ...] = ()

    @property
    def refusal(self) -> tuple[Outcome, str] | None:
        """Why the contract does not accept it; None where it does. Figures decide, whatever else is said."""
        for found in self.sets:
            for deviation in found.deviations:
                if not deviation.within:
                    because = f"; {self.because}" if self.because else ""
                    return Outcome.WRONG_VALUES, too_far(found, deviation.output) + because
        if self.outcome is not None or not self.sets:
            return self.outcome or Outcome.FAILED, self.reason or "the judge gave no figures"
        return None


def too_far(found: SetDeviations, output: str | None) -> str:
    """How far an output is off by each measure: `out on drawn inputs: relative RMS error 5e-02 (allowed 9e-06)`.

    Of several outputs that are judged together, the measures that are beyond what is allowed.
    """
    own = [d for d in found.deviations if d.output == output and (output is not None or not d.within)]
    told = ", ".join(f"{d.name} {d.value:.2e}{d.unit and ' ' + d.unit} (allowed {d.allowed:.2e})" for d in own)
    return f"{f'{output} ' if output else ''}on {found.inputs} inputs: {told}"


class Findings:
    """All verdicts on one implementation on one case."""

    def __init__(self) -> None:
        self._answered: list[tuple[Question, Ruling]] = []
        self.not_judged: NotJudged | None = None

    def add(self, question: Question, verdict: Ruling) -> None:
        self._answered.append((question, verdict))

    def give_up(self, error: NotJudged) -> None:
        """A question has no answer."""
        self.not_judged = self.not_judged or error

    @property
    def refusal(self) -> tuple[Outcome, str] | None:
        """The first refusal; None where all was accepted."""
        return next((refusal for _, verdict in self._answered if (refusal := verdict.refusal)), None)

    def missing(self, owed: Iterable[Owed]) -> list[str]:
        """Names of the sets of inputs on which outputs are owed and were not accepted."""
        accepted = {(q.name, q.draw, q.content) for q, verdict in self._answered if verdict.refusal is None}
        return [name for name, draw, content in owed if (name, draw, content) not in accepted]

    @property
    def timed(self) -> int:
        """Of how many timed calls the outputs were accepted."""
        return sum(q.name == TIMED and verdict.refusal is None for q, verdict in self._answered)

    def record(self, poisoned: bool) -> CheckRecord | None:
        """As it is stored; None where there are no figures. A probe found out on any inputs is not blunt."""
        judged = [verdict for question, verdict in self._answered if verdict.sets]
        if not judged:
            return None
        checked = [verdict for question, verdict in self._answered if verdict.sets and question.name != TIMED]
        agreed = [verdict.deterministic for verdict in checked if verdict.deterministic is not None]
        probes = dict.fromkeys(probe for verdict in checked for probe in verdict.probes)
        found_out = {probe for verdict in checked for probe in set(verdict.probes) - set(verdict.blunt)}
        return CheckRecord(
            sets=tuple(found for verdict in judged for found in verdict.sets),
            probes=tuple(probes),
            blunt=tuple(sorted(set(probes) - found_out)),
            deterministic=all(agreed) if agreed else None,
            coverage=min(verdict.coverage for verdict in judged),
            poisoned=poisoned,
            withheld=tuple(dict.fromkeys(name for verdict in judged for name in verdict.withheld)),
            rounds=next((question.rounds for question, verdict in self._answered if verdict.sets), None),
        )


def owed(operator: Operator[Any, Any], seed: int, quick: bool = False) -> Iterator[Owed]:
    """The sets of inputs that each implementation of a case is checked on, in order: name, draw and content.

    quick: one drawn set and one of needles alone, which are among the others.
    """
    base = seed
    draws, needles = operator.checked_draws, operator.needle_draws
    if quick:
        draws, needles = min(1, draws), min(1, needles)
    seeds = [seed + 1, seed + 2][2 - draws :]
    for number, drawn in enumerate(seeds):
        yield "redrawn" if number + 1 == len(seeds) else "drawn", NORMAL_DRAW, Content(base, drawn)
    for needle in range(seed + 3, seed + 3 + needles):
        yield "needles", NEEDLE_DRAW, Content(needle, needle)
