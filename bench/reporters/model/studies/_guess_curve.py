"""Curves of speed-up by guesses accepted, of guesses that no drafter made, and how measured methods lie on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from attnlab.bench import units
from attnlab.bench.reporters.model.studies._guess import SpeculativeResult
from attnlab.bench.reporters.model.studies._paired import ratio_text
from attnlab.bench.reporters.model.words import Sentence, name, sentence

NEAR = 0.05  # of a speed-up, or of a plain pass: no difference


class SyntheticCurve:
    """Synthetic guesses by one implementation on one case that differ in how often they are right alone."""

    def __init__(self, points: Sequence[SpeculativeResult]) -> None:
        self.points = sorted(points, key=lambda g: g.rate or 0.0)

    @property
    def _first(self) -> SpeculativeResult:
        return self.points[0]

    @property
    def guesses(self) -> int:
        return self._first.answer.case.decoding.guesses

    @property
    def cost(self) -> float:
        """Of a guess, in plain passes, as it was measured."""
        return self._first.cost

    @property
    def label(self) -> str:
        return f"{self.guesses} at {units.three_digits(self.cost)} {self._first.answer.implementation}"

    def fits(self, guess: SpeculativeResult) -> bool:
        """Whether a measured method makes as many guesses a pass, on the same case by the same implementation."""
        same = guess.answer.implementation == self._first.answer.implementation
        return same and guess.plain is self._first.plain and guess.answer.case.decoding.guesses == self.guesses

    def at(self, rate: float) -> float | None:
        """The speed-up at a share accepted; None beyond what was tried.

        A pass gives 1 + K · rate tokens, and a request's time is a part without passes and one that falls as that.
        Between two points it is so interpolated.
        """
        known = [(g.rate, g.speedup.median) for g in self.points if g.rate is not None and g.speedup is not None]
        for (low, slower), (high, faster) in pairwise(known):
            if low <= rate <= high and low < high:
                places = [1 / (1 + self.guesses * r) for r in (low, high, rate)]
                share = (places[0] - places[2]) / (places[0] - places[1])
                return 1 / ((1 - share) / slower + share / faster)
        return None

    def break_even(self) -> float | None:
        """The least share accepted from which guesses gain; None where all that was tried gains, or nothing."""
        known = [(g.rate, g.speedup.median) for g in self.points if g.rate is not None and g.speedup is not None]
        for (low, slower), (high, faster) in pairwise(known):
            if slower < 1 <= faster:
                places = [1 / (1 + self.guesses * r) for r in (low, high)]
                share = (1 / slower - 1) / (1 / slower - 1 / faster)
                return (1 / (places[0] + share * (places[1] - places[0])) - 1) / self.guesses
        return None

    def words(self) -> Sentence:
        known = [g for g in self.points if g.rate is not None and g.speedup is not None]
        if len(known) < 2:
            return ()
        even, best = self.break_even(), known[-1]
        assert best.speedup is not None
        if even is not None:
            told = f"gain from {units.format_share(even)} accepted on"
        elif best.speedup.median < 1:
            told = f"gain nowhere up to {units.format_share(best.rate)} accepted"
        else:
            told = f"gain wherever they were tried, from {units.format_share(known[0].rate)} accepted on"
        each = f"{self.guesses} a pass at {units.three_digits(self.cost)} of a plain pass each"
        who, where = name(self._first.answer.implementation), name(self._first.plain.label)
        return sentence(f"Synthetic guesses, {each}, by ", who, " on ", where, f" {told}.")


def curves_of(guessed: Sequence[SpeculativeResult]) -> list[SyntheticCurve]:
    grouped: dict[tuple[object, ...], list[SpeculativeResult]] = {}
    for g in guessed:
        synthetic, case = g.answer.case.decoding.synthetic, g.answer.case
        if synthetic is not None and g.rate is not None and g.speedup is not None:
            key = (g.answer.implementation, id(g.plain), case.decoding.guesses, synthetic.cost, case.draft)
            grouped.setdefault(key, []).append(g)
    return [SyntheticCurve(points) for points in grouped.values()]


def curve_sentences(guessed: Sequence[SpeculativeResult]) -> Iterator[Sentence]:
    """Where guesses begin to gain, and how each measured method lies to the curve that is nearest in cost."""
    curves = curves_of(guessed)
    yield from (curve.words() for curve in curves)
    for guess in guessed:
        near = sorted((c for c in curves if c.fits(guess)), key=lambda c: abs(c.cost - guess.cost))
        if guess.synthetic or guess.rate is None or guess.speedup is None or not near:
            continue
        said = near[0].at(guess.rate)
        subject = (name(guess.answer.case.decoding.write()), " by ", name(guess.answer.implementation))
        if said is None:
            tried = f"{units.format_share(guess.rate)} accepted is beyond what synthetic guesses were tried at"
            yield sentence(*subject, f" lies on no curve: {tried}.")
            continue
        against = f"{ratio_text(guess.speedup)} where synthetic guesses have {units.format_ratio(said)}"
        if is_on(guess, said):
            yield sentence(*subject, f" lies on the curve: {against}.")
        else:
            side = "above" if guess.speedup.median > said else "below"
            yield sentence(*subject, f" lies {side} the curve, {against}: {why_off(guess, near[0])}.")


def is_on(guess: SpeculativeResult, said: float) -> bool:
    """Whether the curve passes through the interval, or near the speed-up."""
    assert guess.speedup is not None
    low, high = guess.speedup.low or guess.speedup.median, guess.speedup.high or guess.speedup.median
    return low <= said <= high or abs(guess.speedup.median / said - 1) <= NEAR


def why_off(guess: SpeculativeResult, curve: SyntheticCurve) -> str:
    """What differs between a method and a curve that it is not on."""
    m = guess.answer.result.row.measurement
    guessing, plain = len(m.values("verify_pass")), len(m.values("decode_pass"))
    if guessing and plain / (guessing + plain) > NEAR:
        return f"it guessed in {units.format_share(guessing / (guessing + plain))} of its passes, the curve in all"
    if abs(guess.cost - curve.cost) > NEAR:
        own, other = (units.three_digits(cost) for cost in (guess.cost, curve.cost))
        return f"a guess costs {own} of a plain pass, on the curve {other}"
    times = [units.format_time(g.pass_ns("verify")) for g in (guess, curve.points[0])]
    return f"its verify pass took {times[0]}, on the curve {times[1]}"
