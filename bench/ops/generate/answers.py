"""What is expected of generated tokens: the reference model reads each answer and says what it would have chosen there.

A greedy token must be the reference's most likely one, within the numeric noise of the case: what separates one pass
over a text from the same pass in the case's dtype, and alone from in a batch. Sampled tokens must be possible, and as
likely on average as tokens of the distribution are. On prompts of random tokens (see `exams`) an engine is asked for
the log-probabilities of its tokens too, which must be the reference's within what the dtype makes of them; many sampled
answers are held to their whole distribution (see `drawn`). How much noise a case has is measured in `sharpness`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.wrong import Wrong, row_of
from attnlab.bench.llm.generation.decoding import BEAM, Decoding
from attnlab.bench.llm.generation.logs import NO_TOKEN
from attnlab.bench.llm.generation.measured import NEAR_TIES
from attnlab.bench.llm.generation.stored import rounding
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.sampling_math import truncated_probabilities
from attnlab.bench.ops.generate.drawn import Noise, deviations, sample_of
from attnlab.bench.ops.generate.faults import encoded
from attnlab.bench.ops.generate.laws import Laws
from attnlab.bench.store.deviations import Deviation

if TYPE_CHECKING:
    from attnlab.bench.llm.models.weights import ModelWeights
    from attnlab.bench.ops.generate.case import GenerateCase

MARGIN = 2.0  # another order of sums may be as far off again as the pass that the noise was read from
MOST_JUDGED = 16  # requests: of more some are read, and the ids of the others only looked at
LEAST_TIES = 2.0  # tokens off the argmax that are let through, beyond twice the yardstick's share
MOST_Z = 6.0  # standard deviations: by chance in 2 of 10⁹
TINY_PROBABILITY = 1e-7  # of the untruncated distribution, in float32: below, a token is never drawn
NATS, LOGITS = "nats", "logits"
OUT_OF_RANGE = "ids out of range"
NO_ROOM = 0.5  # for what may not be at all
UNKNOWN = Noise(math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Answers:
    """What is expected of the answers to some prompts.

    prompts: int64 [R, P]. continuation: int64 [1, N], the reference's own greedy answer to the first,
    [1, 0] where nothing needs it. noise: how far
    logits may be off, in logits. ties: bound of the share of tokens that rounding to the dtype alone moves off
    the argmax. blunt_without: probes that get through where an engine tells no log-probabilities. logs_rms,
    logs_largest: how far those may be off, in nats; not a number where none are asked for.
    """

    case: GenerateCase
    weights: Callable[[], ModelWeights]
    prompts: Tensor
    continuation: Tensor
    noise: float
    ties: float
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()
    blunt_without: tuple[str, ...] = ()
    logs_rms: float = math.nan
    logs_largest: float = math.nan

    @property
    def expected(self) -> tuple[Tensor, ...]:
        """As many answers as are judged; what stands in them is not compared."""
        return (self.prompts.new_zeros(len(judged(self.case.requests)), self.case.new_tokens),)

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        """Of the requests that have an answer; those that failed are counted elsewhere, see `witness`."""
        tokens = outputs[0].cpu()
        there = (tokens != NO_TOKEN).all(-1)
        if not bool(there.any()):
            return [Deviation("requests without an answer", 1.0, NO_ROOM)]
        logs = outputs[1].cpu()[there] if len(outputs) > 1 else None
        known = logs is not None and not bool(logs.isnan().any())
        return replace(self, prompts=self.prompts[there]).deviations(tokens[there], logs if known else None)

    def wrong(self, outputs: Sequence[Tensor]) -> Wrong | None:
        """The first greedy token that falls short of the reference's by more than the noise, else the first
        log-probability that is further off than it may be; None where neither is: what is drawn is judged as a whole.
        """
        tokens = outputs[0].cpu()
        off = (tokens < 0) | (tokens >= self.case.config.vocab_size)
        best = tokens.clone()
        errors = off.double() * math.inf
        errors[errors.isnan()] = 0.0
        allowed = 2 * MARGIN * self.noise
        if not bool(off.any()):
            for n in judged(len(tokens)) if self.case.decoding.greedy else ():
                logits = self._logits(self.prompts[n], tokens[n])
                best[n], errors[n] = logits.argmax(-1), regret(logits, tokens[n])
            off = errors > allowed
        what = "token ids; the error in logits short of the reference's best"
        if bool(off.any()):
            return replace(row_of("tokens", tokens, best, off, errors=errors, allowed=allowed), what=what)
        return self._wrong_logs(tokens, outputs[1].cpu()) if len(outputs) > 1 else None

    def _wrong_logs(self, tokens: Tensor, logs: Tensor) -> Wrong | None:
        if bool(logs.isnan().any()):
            return None
        want = logs.double().clone()
        for n in judged(len(tokens)):
            want[n] = logs_of(self._logits(self.prompts[n], tokens[n]), tokens[n])
        errors = (logs.double() - want).abs()
        off = errors > self.logs_largest
        if not bool(off.any()):
            return None
        found = row_of("logs", logs, want, off, errors=errors, allowed=self.logs_largest)
        return replace(found, what="log-probabilities of its tokens, in nats")

    def deviations(self, tokens: Tensor, logs: Tensor | None = None) -> list[Deviation]:
        """Of the answers [r, N] to the first r prompts; the ids of all are looked at, and some of many are read.

        logs: the log-probabilities [r, N] that the engine tells; None where it tells none.
        """
        if bool(((tokens < 0) | (tokens >= self.case.config.vocab_size)).any()):
            return [Deviation(OUT_OF_RANGE, 1.0, NO_ROOM)]
        return self.weighed(tokens, self._read(tokens), logs)

    def weighed(self, tokens: Tensor, read: Sequence[AnswerReading], logs: Tensor | None = None) -> list[Deviation]:
        """The same of answers that the reference has read."""
        decoding = self.case.decoding
        if decoding.greedy:
            found = self._greedy(read)
        else:
            found = self._beam(tokens) if decoding.method == BEAM else self._sampled(read, decoding)
        return found if logs is None else [*found, *self._told(read, logs)]

    def _read(self, tokens: Tensor) -> list[AnswerReading]:
        return [
            AnswerReading(self.prompts[n], tokens[n], self._logits(self.prompts[n], tokens[n]), n)
            for n in judged(len(tokens))
        ]

    def _logits(self, prompt: Tensor, answer: Tensor) -> Tensor:
        return answer_logits(self.weights(), prompt, answer)

    def _told(self, read: Sequence[AnswerReading], logs: Tensor) -> list[Deviation]:
        return self._errors_of_logs(torch.cat([logs[one.number].double() - one.logs for one in read]))

    def _errors_of_logs(self, off: Tensor) -> list[Deviation]:
        rms, largest = float(off.square().mean().sqrt()), float(off.abs().max())
        return [
            Deviation("RMS error of log-probabilities", rms, self.logs_rms, NATS),
            Deviation("largest error of log-probabilities", largest, self.logs_largest, NATS),
        ]

    def _greedy(self, read: Sequence[AnswerReading]) -> list[Deviation]:
        regrets = torch.cat([regret(one.logits, one.answer) for one in read])
        rms, largest = float(regrets.square().mean().sqrt()), float(regrets.max())
        off = float((regrets > 0).double().mean())
        ties = MARGIN * self.ties + LEAST_TIES / regrets.numel()
        allowed = 2 * MARGIN * self.noise  # both the chosen logit and the best one may be off
        return [
            Deviation("RMS of what logits fall short", rms, allowed, LOGITS),
            Deviation("most that a logit falls short", largest, allowed, LOGITS),
            Deviation(NEAR_TIES, off, ties),
        ]

    def _sampled(self, texts: Sequence[AnswerReading], decoding: Decoding) -> list[Deviation]:
        surprise, variance, impossible, read = 0.0, 0.0, 0, 0
        for one in texts:
            answer, read = one.answer, read + len(one.answer)
            p = truncated_probabilities(one.logits, decoding.params, seen_so_far(one.prompt, answer)).double()
            logs = p.clamp_min(TINY_PROBABILITY).log()
            mean = (p * logs).sum(-1)
            taken = p.gather(-1, answer[:, None].to(p.device))[:, 0]
            surprise += float((taken.clamp_min(TINY_PROBABILITY).log() - mean)[taken > 0].sum())
            variance += float(((p * logs.square()).sum(-1) - mean.square()).sum())
            impossible += int((taken == 0).sum())
        z = abs(surprise) / math.sqrt(variance) if variance > 0 else 0.0
        share = impossible / read
        edge = MARGIN * self.ties + LEAST_TIES / read  # rounding moves tokens over the edge of truncation
        return [
            Deviation("log-likelihood", z, MOST_Z, "standard deviations"),
            Deviation("share beyond the truncation", share, edge),
        ]

    def _beam(self, tokens: Tensor) -> list[Deviation]:
        """The likelier answer of beams that never drop the greedy one is at least as likely as that."""
        prompt = self.prompts[0]
        scores = [
            float(torch.log_softmax(self._logits(prompt, a).double(), -1).gather(-1, a[:, None].to("cpu")).sum())
            for a in (self.continuation[0], tokens[0])
        ]
        worse = max(0.0, scores[0] - scores[1])
        allowed = 2 * MARGIN * self.noise * math.sqrt(self.case.new_tokens)
        return [Deviation("log-likelihood under greedy's", worse, allowed, NATS)]


@dataclass(frozen=True)
class ManyAnswers(Answers):
    """What is expected of many sampled answers, from calls that differ in their seed; see `drawn`."""

    law: Noise = UNKNOWN

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        return self.judge_calls([outputs])

    def judge_calls(self, calls: Sequence[Sequence[Tensor]]) -> list[Deviation]:
        tokens = torch.stack([call[0].cpu() for call in calls])
        if bool(((tokens < 0) | (tokens >= self.case.config.vocab_size)).any()):
            return [Deviation(OUT_OF_RANGE, 1.0, NO_ROOM)]
        prompts = self.prompts.repeat(len(calls), 1)
        flat = tokens.flatten(0, 1)
        logs: list[Tensor] = []

        def laws(rows: slice) -> Laws:
            logits = many_logits(self.weights(), prompts[rows], flat[rows])
            logs.append(logs_of(logits, flat[rows]))
            return laws_of(self.case, prompts[rows], flat[rows], logits)

        found = deviations(sample_of(tokens, self.case.config.vocab_size, laws, self.law), self.law)
        told = torch.cat([call[1].cpu() for call in calls]) if all(len(call) > 1 for call in calls) else None
        if told is None or bool(told.isnan().any()):
            return found
        return [*found, *self._errors_of_logs(told.double() - torch.cat(logs))]


@dataclass(frozen=True)
class AnswerReading:
    """One answer [N] to a prompt [P] as the reference read it, logits [N, V], and the number of its request."""

    prompt: Tensor
    answer: Tensor
    logits: Tensor
    number: int

    @property
    def logs(self) -> Tensor:
        """Log-probabilities of its tokens, float64 [N]."""
        return logs_of(self.logits, self.answer)


def judged(requests: int) -> list[int]:
    """The requests whose answers are read: all of a few; the first, the last and those evenly between of many."""
    if requests <= MOST_JUDGED:
        return list(range(requests))
    return sorted({round(n * (requests - 1) / (MOST_JUDGED - 1)) for n in range(MOST_JUDGED)})


def answer_logits(weights: ModelWeights, prompt: Tensor, answer: Tensor) -> Tensor:
    """The reference's logits [N, V] at each place of an answer [N] to a prompt [P], float32 on the CPU."""
    return many_logits(weights, prompt.cpu()[None], answer.cpu()[None])[0]


def many_logits(
    weights: ModelWeights,
    prompts: Tensor,
    answers: Tensor,
    case: GenerateCase | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The reference's logits [R, N, V] of answers [R, N] to prompts [R, P], on the CPU; rounded as a case has them."""
    text = torch.cat([prompts, answers], 1)[:, :-1].to(weights.embedding.device)
    if case is None:
        return reference_logits(weights, text, dtype=dtype, last=answers.shape[1]).cpu()
    return as_case_rounds(case, weights, text, answers.shape[1]).cpu()


def as_case_rounds(case: GenerateCase, weights: ModelWeights, text: Tensor, last: int) -> Tensor:
    """The reference's logits [B, last, V] with the roundings that a case has, of its dtype, codes and ranks."""
    rounded, reading = rounding(case.weights), encoded(case)
    return reference_logits(weights, text, case.torch_dtype, last, rounded, reading, case.tensor_parallel)


def laws_of(case: GenerateCase, prompts: Tensor, answers: Tensor, logits: Tensor) -> Laws:
    """Of every place of some answers, [R · N, V]."""
    params = case.decoding.params
    seen = None
    if params.penalises:
        seen = torch.cat([seen_so_far(p, a) for p, a in zip(prompts, answers, strict=True)])
    return Laws.of(logits.flatten(0, 1), params, seen)


def logs_of(logits: Tensor, answer: Tensor) -> Tensor:
    """Log-probabilities of an answer [..., N] from logits [..., N, V], float64."""
    return logits.double().log_softmax(-1).gather(-1, answer[..., None].to(logits.device))[..., 0]


def regret(logits: Tensor, answer: Tensor) -> Tensor:
    """How far each chosen token's logit is below the best one's, [N] in logits, 0 for the best itself."""
    chosen = logits.gather(-1, answer[:, None].to(logits.device))[:, 0]
    return (logits.max(-1).values - chosen).double()


def seen_so_far(prompt: Tensor, answer: Tensor) -> Tensor:
    """For each place of an answer the ids before it, [N, P + N]; the first one stands where there is none yet."""
    text = torch.cat([prompt, answer]).cpu()
    place = torch.arange(len(text))
    return text[torch.where(place < len(prompt) + torch.arange(len(answer))[:, None], place, 0)]
