"""What the check of a case of `generate` can tell apart: its noise, its budgets, and the faults that get through."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnlab.bench.llm.models.reference import reference_answers, reference_greedy, reference_logits
from attnlab.bench.ops.generate.answers import (
    MARGIN,
    AnswerReading,
    Answers,
    ManyAnswers,
    as_case_rounds,
    judged,
    laws_of,
    logs_of,
    many_logits,
)
from attnlab.bench.ops.generate.drawn import Noise, blunt_probes
from attnlab.bench.ops.generate.exams import PAGE_TOKENS
from attnlab.bench.ops.generate.faults import Fault, SideBySide, faults

if TYPE_CHECKING:
    from attnlab.bench.llm.models.weights import ModelWeights
    from attnlab.bench.ops.generate.case import GenerateCase

CANDIDATES = 50  # tokens a place whose logits are compared for the noise: those that could be chosen at all
MANY_CALLS = 2
LOGS_FLOOR = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1.5e-2}  # nats, root mean square
EARLY = 4  # places at the start of a text, some of which rounding moves by ten times as much as the others
LARGEST_OVER_RMS = 4.0  # of some tens of errors
NOISE_FLOOR = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}  # logits; a yardstick may be lucky once
PLACES = 128  # of the end of the text over which near-ties are counted
TIES_LEVEL = 1e-3  # chance that their share is larger than its bound


@dataclass(frozen=True)
class Sharpness:
    """What the check of a case can tell apart, measured on one prompt: the same for every draw of it.

    The fields of `Answers` that have these names.
    """

    noise: float
    ties: float
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()
    blunt_without: tuple[str, ...] = ()
    logs_rms: float = math.nan
    logs_largest: float = math.nan


def sharpness_of(answers: Answers, weights: ModelWeights) -> Sharpness:
    """Of a case's own prompts."""
    text = _texts(answers)[:1]
    places = min(max(PLACES, answers.case.new_tokens), text.shape[1])
    return _of_wrong_answers(answers, weights, *_read_twice(answers, weights, text, places))


def sharpness_of_exam(answers: Answers, weights: ModelWeights, *, faults: bool) -> Sharpness:
    """Of needles, with the budget of log-probabilities; with `faults`, those of engines are tried too."""
    texts = _texts(answers)
    want, got = _read_twice(answers, weights, texts, texts.shape[1])
    places = min(max(PLACES, answers.case.new_tokens), texts.shape[1])
    base = _of_wrong_answers(answers, weights, want[:1, -places:], got[:1, -places:])
    rms, largest = _budget_of_logs(answers.case, want, got)
    base = replace(base, logs_rms=rms, logs_largest=largest)
    return _with_faults(answers, weights, base) if faults else base


def sharpness_of_many(answers: ManyAnswers, weights: ModelWeights) -> dict[str, Any]:
    """The fields of `ManyAnswers` that are measured: on random texts, as long as the answers.

    Draws at a place depend on its distribution alone, so that samplers can be tried on any text.
    """
    case, prompts = answers.case, answers.prompts
    generator = torch.Generator().manual_seed(0)
    size = (len(prompts), case.new_tokens)
    texts = torch.randint(0, case.config.vocab_size, size, generator=generator)
    texts[0] = reference_greedy(weights, prompts[:1], case.new_tokens).cpu()
    logits, rounded = (many_logits(weights, prompts, texts, of) for of in (None, case))
    exact = many_logits(weights, prompts, texts, dtype=torch.float64) if case.dtype == "float32" else logits
    first = replace(answers, continuation=texts[:1])
    noise, _ = _noise(first, weights, exact[:1], rounded[:1])
    likely = exact.argmax(-1)
    rms, largest = _allowed_of_logs(case, logs_of(rounded, likely) - logs_of(exact, likely), likely.numel())
    typical = rms / MARGIN
    laws = laws_of(case, prompts, texts, logits)
    drift = laws.drift(laws_of(case, prompts, texts, rounded))
    law = Noise(
        typical,
        2 * MARGIN * noise,
        laws.borderline(2 * typical),
        float(drift.mean().abs()),
        float(drift.square().mean().sqrt()),
    )
    probes, blunt = blunt_probes(laws, (MANY_CALLS, *size), law, seed=1)
    return {
        "noise": noise,
        "ties": math.nan,
        "logs_rms": rms,
        "logs_largest": largest,
        "law": law,
        "probes": tuple(probes),
        "blunt": tuple(blunt),
        "blunt_without": tuple(blunt),
    }


def _texts(answers: Answers) -> Tensor:
    """Prompts with the reference's answers to them but for the last token, [r, P + N - 1]."""
    known = answers.continuation
    return torch.cat([answers.prompts[: len(known)], known], 1)[:, :-1]


def _read_twice(answers: Answers, weights: ModelWeights, texts: Tensor, last: int) -> tuple[Tensor, Tensor]:
    """Logits [r, last, V] of the ends of texts, exact and as the case's dtype and codes have them."""
    case = answers.case
    exact = torch.float64 if case.dtype == "float32" else torch.float32
    want = reference_logits(weights, texts, exact, last)
    got = as_case_rounds(case, weights, texts, last)
    return want.cpu(), got.cpu()


def _noise(answers: Answers, weights: ModelWeights, want: Tensor, got: Tensor) -> tuple[float, float]:
    """The noise in logits on the answer to the first prompt, and a bound of the share of tokens that rounding moves.

    want, got: logits [1, places, V] of the end of its text, as read with and without rounding.
    """
    case, answer = answers.case, answers.continuation[0]
    ties = _share_at_most(int((got.argmax(-1) != want.argmax(-1)).sum()), want.shape[1])
    want, got = (x[0, -len(answer) :].double() for x in (want, got))
    candidates = want.topk(min(CANDIDATES, want.shape[-1]), -1).indices
    alone = (got - want).gather(-1, candidates).abs().max()
    together = (_in_a_batch(answers, weights) - got).gather(-1, candidates).abs().max()
    return max(float(alone), float(together), NOISE_FLOOR[case.dtype]), ties


def _share_at_most(count: int, trials: int) -> float:
    """The bound of a share (Clopper and Pearson 1934) that so many of the trials leave at `TIES_LEVEL`."""
    from scipy.stats import beta  # half a second, which only those who work it out should pay

    return 1.0 if count == trials else float(beta.ppf(1 - TIES_LEVEL, count + 1, trials - count))


def _in_a_batch(answers: Answers, weights: ModelWeights) -> Tensor:
    """The logits of the first answer when its text is read beside another one, float64 [N, V]."""
    case, text = answers.case, _texts(answers)[:1]
    both = torch.cat([text, text.flip(1)])
    last = answers.continuation.shape[1]
    logits = as_case_rounds(case, weights, both, last)
    return logits[0].cpu().double()


def _budget_of_logs(case: GenerateCase, want: Tensor, got: Tensor) -> tuple[float, float]:
    """How far log-probabilities may be off: twice what the dtype does at the places of the texts, or a small floor."""
    likely = want.argmax(-1)  # as an answer's tokens are; those of the prompt are most unlikely
    off = logs_of(got, likely) - logs_of(want, likely)
    if off.shape[1] > 2 * EARLY and float(off.square().mean()) > float(off[:, EARLY:].square().mean()):
        off = off[:, EARLY:]
    return _allowed_of_logs(case, off, min(len(judged(case.requests)) * case.new_tokens, likely.numel()))


def _allowed_of_logs(case: GenerateCase, off: Tensor, places: int) -> tuple[float, float]:
    """Root mean square and largest error that log-probabilities may have, of what the dtype makes of them.

    places: how few the root mean square may hang on.
    """
    rms = max(float(off.square().mean().sqrt()), LOGS_FLOOR[case.dtype]) * (1 + 1 / math.sqrt(places))
    return MARGIN * rms, MARGIN * max(float(off.abs().max()), LARGEST_OVER_RMS * rms)


def _of_wrong_answers(answers: Answers, weights: ModelWeights, want: Tensor, got: Tensor) -> Sharpness:
    """Without log-probabilities; want, got: as in `_noise`."""
    noise, ties = _noise(answers, weights, want, got)
    known = replace(answers, noise=noise, ties=ties)
    prompt = answers.prompts[0]
    wrong = _wrong_answers(answers, want[:, -answers.continuation.shape[1] :])
    logits = reference_answers(weights, prompt, torch.cat(list(wrong.values()))).cpu()
    blunt = tuple(
        name
        for (name, answer), read in zip(wrong.items(), logits, strict=True)
        if all(figure.within for figure in known.weighed(answer, [AnswerReading(prompt, answer[0], read, 0)]))
    )
    return Sharpness(noise, ties, tuple(wrong), blunt, blunt)


def _wrong_answers(answers: Answers, logits: Tensor) -> dict[str, Tensor]:
    """Answers [1, N] to the first prompt that must be rejected, by the name of the fault.

    logits: [1, N, V], what the reference says after the right answer.
    """
    case, right = answers.case, answers.continuation[:1]
    wrong = {"zeros": torch.zeros_like(right), "every token one too large": (right + 1) % case.config.vocab_size}
    if case.new_tokens > 1:
        wrong["one token late"] = right.roll(1, 1)
    if case.decoding.greedy:
        best = logits.topk(2, -1)
        clearest = int((best.values[0, :, 0] - best.values[0, :, 1]).argmax())
        second = right.clone()
        second[0, clearest] = best.indices[0, clearest, 1]
        wrong["the second best once"] = second
    return wrong


def _with_faults(answers: Answers, weights: ModelWeights, base: Sharpness) -> Sharpness:
    """With the faults of engines that the check cannot tell, with log-probabilities and without; all read at once."""
    known = replace(answers, **vars(base))
    right = answers.continuation
    rows, new = right.shape
    tried = list(_faults_of(answers.case, rows))
    if not tried:
        return base
    prompts = answers.prompts[:rows]
    want = many_logits(weights, prompts, right)
    texts = _texts(answers).repeat(len(tried), 1)
    wrong = reference_logits(weights, texts, last=new, reading=SideBySide(tuple(tried), rows)).cpu()
    given = [_with_fault(right, want, logits) for logits in wrong.split(rows)]
    logits = many_logits(weights, prompts.repeat(len(tried), 1), torch.cat([tokens for tokens, _ in given]))
    blunt, without = [], []
    for fault, (tokens, logs), read in zip(tried, given, logits.split(rows), strict=True):
        reads = [AnswerReading(prompts[n], tokens[n], read[n], n) for n in judged(rows)]
        *of_tokens, of_logs = (figure.within for figure in known.weighed(tokens, reads, logs))
        if all(of_tokens):
            without.append(fault.name)
            if of_logs:
                blunt.append(fault.name)
    return replace(
        base,
        probes=(*base.probes, *(fault.name for fault in tried)),
        blunt=(*base.blunt, *blunt),
        blunt_without=(*base.blunt_without, *without),
    )


def _faults_of(case: GenerateCase, rows: int) -> Iterator[Fault]:
    page = case.placing.page_tokens or PAGE_TOKENS
    return faults(case.prompt_len, case.new_tokens, rows, page) if case.decoding.greedy else iter(())


def _with_fault(right: Tensor, want: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    """What an engine with a fault would answer, and tell, as far as its texts are those of the right answers [r, N].

    want, wrong: the logits [r, N, V] over those texts, without and with the fault. From the first other token on a text
    would be another: there the right tokens stand, with their right log-probabilities, so that nothing of it is found
    that the engine might not show.
    """
    chosen = wrong.argmax(-1)
    same = (chosen == right).long().cumprod(-1).bool()
    reached = torch.nn.functional.pad(same[:, :-1], (1, 0), value=True)  # the first other token is the engine's own
    tokens = torch.where(reached, chosen, right)
    return tokens, torch.where(reached, logs_of(wrong, chosen), logs_of(want, right)).float()
