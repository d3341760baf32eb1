"""The check of generated tokens: the reference model reads each answer and says what it would have chosen there.

A greedy token must be the reference's most likely one, within the numeric noise of the case: what separates one pass
over a text from the same pass in the case's dtype, and alone from in a batch. Sampled tokens must be possible, and as
likely on average as tokens of the distribution are. On prompts of random tokens (see `exams`) an engine is asked for
the log-probabilities of its tokens too, which must be the reference's within what the dtype makes of them; many sampled
answers are held to their whole distribution (see `drawn`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnlab.bench.contract import Figures
from attnlab.bench.failures.wrong import Wrong, row_of
from attnlab.bench.generation.decoding import BEAM, Decoding
from attnlab.bench.generation.drawn import Noise, blunt_probes, figures, sample_of
from attnlab.bench.generation.exams import PAGE_TOKENS, is_many, is_own
from attnlab.bench.generation.faults import Encoded, Fault, faults
from attnlab.bench.generation.laws import Laws
from attnlab.bench.generation.logs import NO_TOKEN
from attnlab.bench.generation.stored import SAME, rounding
from attnlab.bench.models.reference import Reading, Rounding, as_it_is, reference_greedy, reference_logits
from attnlab.bench.ops.sampling_math import truncated_probabilities

if TYPE_CHECKING:
    from attnlab.bench.models.weights import ModelWeights
    from attnlab.bench.ops.generate import GenerateCase, GenerateInputs

CANDIDATES = 50  # tokens a place whose logits are compared for the noise: those that could be chosen at all
MARGIN = 2.0  # another order of sums may be as far off again as the pass that the noise was read from
MANY_CALLS = 2
LOGS_FLOOR = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1.5e-2}  # nats, root mean square
EARLY = 4  # places at the start of a text, some of which rounding moves by ten times as much as the others
LARGEST_OVER_RMS = 4.0  # of some tens of errors
NOISE_FLOOR = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}  # logits; a yardstick may be lucky once
MOST_JUDGED = 16  # requests: of more some are read, and the ids of the others only looked at
PLACES = 128  # of the end of the text over which near-ties are counted
TIES_LEVEL = 1e-3  # chance that their share is larger than its bound
LEAST_TIES = 2.0  # tokens off the argmax that are let through, beyond twice the yardstick's share
MOST_Z = 6.0  # standard deviations: by chance in 2 of 10⁹
TINY_PROBABILITY = 1e-7  # of the untruncated distribution, in float32: below, a token is never drawn

Weights = Callable[[Any, torch.device], "ModelWeights"]


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

    def judge(self, outputs: Sequence[Tensor]) -> list[Figures]:
        """Of the requests that have an answer; those that failed are counted elsewhere, see `witness`."""
        tokens = outputs[0].cpu()
        there = (tokens != NO_TOKEN).all(-1)
        if not bool(there.any()):
            return [Figures("requests answered", 1.0, NO_ROOM, 1.0, NO_ROOM)]
        logs = outputs[1].cpu()[there] if len(outputs) > 1 else None
        known = logs is not None and not bool(logs.isnan().any())
        return replace(self, prompts=self.prompts[there]).figures(tokens[there], logs if known else None)

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

    def figures(self, tokens: Tensor, logs: Tensor | None = None) -> list[Figures]:
        """Of the answers [r, N] to the first r prompts; the ids of all are looked at, and some of many are read.

        logs: the log-probabilities [r, N] that the engine tells; None where it tells none.
        """
        if bool(((tokens < 0) | (tokens >= self.case.config.vocab_size)).any()):
            return [Figures("ids in range", 1.0, NO_ROOM, 1.0, NO_ROOM)]
        read = [
            Read(self.prompts[n], tokens[n], self._logits(self.prompts[n], tokens[n]), n) for n in judged(len(tokens))
        ]
        decoding = self.case.decoding
        if decoding.greedy:
            found = self._greedy(read)
        else:
            found = self._beam(tokens) if decoding.method == BEAM else self._sampled(read, decoding)
        return found if logs is None else [*found, self._told(read, logs)]

    def _logits(self, prompt: Tensor, answer: Tensor) -> Tensor:
        return answer_logits(self.weights(), prompt, answer, torch.float32)

    def _told(self, read: Sequence[Read], logs: Tensor) -> Figures:
        off = torch.cat([logs[one.number].double() - one.logs for one in read])
        rms, largest = float(off.square().mean().sqrt()), float(off.abs().max())
        return Figures("log-probabilities, in nats", rms, self.logs_rms, largest, self.logs_largest)

    def _greedy(self, read: Sequence[Read]) -> list[Figures]:
        regrets = torch.cat([regret(one.logits, one.answer) for one in read])
        rms, largest = float(regrets.square().mean().sqrt()), float(regrets.max())
        off = float((regrets > 0).double().mean())
        ties = MARGIN * self.ties + LEAST_TIES / regrets.numel()
        allowed = 2 * MARGIN * self.noise  # both the chosen logit and the best one may be off
        return [
            Figures("logits short of the best", rms, allowed, largest, allowed),
            Figures("share of near-ties", off, ties, off, ties),
        ]

    def _sampled(self, texts: Sequence[Read], decoding: Decoding) -> list[Figures]:
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
            Figures("log-likelihood, standard deviations", z, MOST_Z, z, MOST_Z),
            Figures("share beyond the truncation", share, edge, share, edge),
        ]

    def _beam(self, tokens: Tensor) -> list[Figures]:
        """The likelier answer of beams that never drop the greedy one is at least as likely as that."""
        prompt = self.prompts[0]
        scores = [
            float(torch.log_softmax(self._logits(prompt, a).double(), -1).gather(-1, a[:, None].to("cpu")).sum())
            for a in (self.continuation[0], tokens[0])
        ]  # fmt: skip
        worse = max(0.0, scores[0] - scores[1])
        allowed = 2 * MARGIN * self.noise * math.sqrt(self.case.new_tokens)
        return [Figures("log-likelihood under greedy's", worse, allowed, worse, allowed)]


NO_ROOM = 0.5  # for what may not be at all


UNKNOWN = Noise(math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class ManyAnswers(Answers):
    """What is expected of many sampled answers, from calls that differ in their seed; see `drawn`."""

    law: Noise = UNKNOWN

    def judge(self, outputs: Sequence[Tensor]) -> list[Figures]:
        return self.judge_calls([outputs])

    def judge_calls(self, calls: Sequence[Sequence[Tensor]]) -> list[Figures]:
        tokens = torch.stack([call[0].cpu() for call in calls])
        if bool(((tokens < 0) | (tokens >= self.case.config.vocab_size)).any()):
            return [Figures("ids in range", 1.0, NO_ROOM, 1.0, NO_ROOM)]
        prompts = self.prompts.repeat(len(calls), 1)
        flat = tokens.flatten(0, 1)
        logs: list[Tensor] = []

        def laws(rows: slice) -> Laws:
            logits = _many_logits(self.weights(), prompts[rows], flat[rows])
            logs.append(logs_of(logits, flat[rows]))
            return _laws(self.case, prompts[rows], flat[rows], logits)

        found = figures(sample_of(tokens, self.case.config.vocab_size, laws, self.law), self.law)
        told = torch.cat([call[1].cpu() for call in calls]) if all(len(call) > 1 for call in calls) else None
        if told is None or bool(told.isnan().any()):
            return found
        off = told.double() - torch.cat(logs)
        rms, largest = float(off.square().mean().sqrt()), float(off.abs().max())
        return [*found, Figures("log-probabilities, in nats", rms, self.logs_rms, largest, self.logs_largest)]


def _many_logits(
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
    rounded, reading = rounding(case.weights), stored(case)
    return reference_logits(weights, text, case.torch_dtype, answers.shape[1], rounded, reading).cpu()


def _laws(case: GenerateCase, prompts: Tensor, answers: Tensor, logits: Tensor) -> Laws:
    """Of every place of some answers, [R · N, V]."""
    params = case.decoding.params
    seen = None
    if params.penalises:
        seen = torch.cat([seen_so_far(p, a) for p, a in zip(prompts, answers, strict=True)])
    return Laws.of(logits.flatten(0, 1), params, seen)


@dataclass(frozen=True)
class Read:
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


@dataclass(frozen=True)
class Sharpness:
    """What the check of a case can tell apart, measured on one prompt: the same for every draw of it.

    The fields of `Answers` that have these names.
    """

    noise: float
    ties: float
    probes: tuple[str, ...]
    blunt: tuple[str, ...]
    blunt_without: tuple[str, ...] = ()
    logs_rms: float = math.nan
    logs_largest: float = math.nan


@dataclass(frozen=True)
class ExactTokens:
    """The check of `generate`. weights(case, device): the model that the inputs hold.

    measured, many: the sharpness of cases, by what it hangs on, which takes seconds and is measured once in a process.
    """

    weights: Weights
    measured: dict[str, Sharpness] = field(default_factory=dict)
    many: dict[str, dict[str, Any]] = field(default_factory=dict)

    def expect(self, case: GenerateCase, inputs: GenerateInputs) -> Answers:
        device = inputs.weights.embedding.device
        if inputs.asks and is_many(case, inputs.seed):
            return self._many(case, inputs)
        probed = inputs.asks and not is_own(inputs.seed)
        key = f"{_reading_of(case)}, {inputs.asks}, {probed}"
        prompts = inputs.prompts if inputs.asks else inputs.prompts[:1]
        continuation = prompts[:, :0].cpu()
        if key not in self.measured or case.decoding.method == BEAM:
            continuation = reference_greedy(inputs.weights, prompts, case.new_tokens).cpu()
        made = Answers(
            case, lambda: self.weights(case, device), inputs.prompts.cpu(), continuation, noise=math.nan, ties=math.nan
        )
        if key not in self.measured:
            measure = partial(_examined, probed=probed) if inputs.asks else _sharpness
            self.measured[key] = measure(made, inputs.weights)
        return replace(made, **vars(self.measured[key]))

    def _many(self, case: GenerateCase, inputs: GenerateInputs) -> ManyAnswers:
        device, prompts = inputs.weights.embedding.device, inputs.prompts.cpu()
        blank = prompts[:1, :0]
        made = ManyAnswers(case, lambda: self.weights(case, device), prompts, blank, math.nan, math.nan)
        key = f"{replace(case, batch=1).id}, many"
        if key not in self.many:
            self.many[key] = _many_sharpness(made, inputs.weights)
        return replace(made, **self.many[key])

    def parts(self, expectation: Answers) -> dict[str, Any]:
        kept = {f.name: getattr(expectation, f.name) for f in fields(expectation) if f.name not in ("case", "weights")}
        return kept | {
            "device": str(expectation.weights().embedding.device),
            "many": isinstance(expectation, ManyAnswers),
        }

    def restore(self, case: GenerateCase, parts: dict[str, Any]) -> Answers:
        device = torch.device(parts["device"])
        known = {name: part for name, part in parts.items() if name not in ("device", "many")}
        known |= {name: known[name].cpu() for name in ("prompts", "continuation")}
        kind = ManyAnswers if parts["many"] else Answers
        return kind(case=case, weights=lambda: self.weights(case, device), **known)


def answer_logits(
    weights: ModelWeights,
    prompt: Tensor,
    answer: Tensor,
    dtype: torch.dtype,
    rounded: Rounding = as_it_is,
    reading: Reading | None = None,
) -> Tensor:
    """The reference's logits [N, V] at each place of an answer [N] to a prompt [P], on the CPU."""
    text = torch.cat([prompt.cpu(), answer.cpu()])[None, :-1].to(weights.embedding.device)
    return reference_logits(weights, text, dtype=dtype, last=len(answer), rounded=rounded, reading=reading)[0].cpu()


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


def _sharpness(made: Answers, weights: ModelWeights) -> Sharpness:
    noise, ties = _noise(made.case, weights, made.prompts, made.continuation)
    known = replace(made, noise=noise, ties=ties)
    wrong = _wrong_answers(known)
    blunt = tuple(name for name, answer in wrong.items() if all(f.within for f in known.figures(answer)))
    return Sharpness(noise, ties, tuple(wrong), blunt)


def _noise(case: GenerateCase, weights: ModelWeights, prompts: Tensor, continuation: Tensor) -> tuple[float, float]:
    """The noise in logits on the first prompt's answer, and a bound of the share of tokens that rounding moves."""
    exact = torch.float64 if case.dtype == "float32" else torch.float32
    prompt, answer = prompts[0], continuation[0]
    places = min(max(PLACES, len(answer)), len(prompt) + len(answer) - 1)
    text = torch.cat([prompt, answer])
    before, after = text[: len(text) - places], text[len(text) - places :]
    want = answer_logits(weights, before, after, exact)
    got = answer_logits(weights, before, after, case.torch_dtype, rounding(case.weights), stored(case))
    ties = _share_at_most(int((got.argmax(-1) != want.argmax(-1)).sum()), places)
    want, got = want[-len(answer) :].double(), got[-len(answer) :].double()
    candidates = want.topk(min(CANDIDATES, want.shape[-1]), -1).indices
    alone = (got - want).gather(-1, candidates).abs().max()
    together = (_in_a_batch(case, weights, prompt, answer) - got).gather(-1, candidates).abs().max()
    noise = max(float(alone), float(together), NOISE_FLOOR[case.dtype])
    return noise, ties


def _share_at_most(count: int, trials: int) -> float:
    """The bound of a share (Clopper and Pearson 1934) that so many of the trials leave at `TIES_LEVEL`."""
    from scipy.stats import beta  # half a second, which only those who work it out should pay

    return 1.0 if count == trials else float(beta.ppf(1 - TIES_LEVEL, count + 1, trials - count))


def _in_a_batch(case: GenerateCase, weights: ModelWeights, prompt: Tensor, answer: Tensor) -> Tensor:
    """The logits of the answer when the same text is read beside another one, [N, V]."""
    text = torch.cat([prompt, answer])[None, :-1]
    both = torch.cat([text, text.flip(1)]).to(weights.embedding.device)
    rounded = rounding(case.weights)
    return (
        reference_logits(
            weights, both, dtype=case.torch_dtype, last=len(answer), rounded=rounded, reading=stored(case)
        )[0]
        .cpu()
        .double()
    )


def stored(case: GenerateCase) -> Reading | None:
    """How a text is read whose keys and values are stored as codes; None where they are not."""
    return None if case.cache == SAME else Encoded(case, case.prompt_len)


def _reading_of(case: GenerateCase) -> tuple[object, ...]:
    """What the sharpness of a case hangs on: greedy answers are the same however they are guessed and batched."""
    decoding = Decoding.read("greedy") if case.decoding.greedy else case.decoding
    return (
        case.model, case.weights, case.dtype, case.cache, case.placing.page_tokens, case.prompts, case.prompt_len,
        case.new_tokens, case.requests, decoding.write(),
    )  # fmt: skip


def _examined(made: Answers, weights: ModelWeights, *, probed: bool) -> Sharpness:
    """The sharpness of needles, with the budget of log-probabilities; where `probed`, engines' faults are tried too."""
    base = _sharpness(made, weights)
    rms, largest = _budget_of_logs(made, weights)
    known = replace(made, noise=base.noise, ties=base.ties, logs_rms=rms, logs_largest=largest)
    probes, blunt, blunt_without = list(base.probes), list(base.blunt), list(base.blunt)
    right = made.continuation
    text = torch.cat([made.prompts[: len(right)], right], 1)[:, :-1].to(weights.embedding.device)
    want = reference_logits(weights, text, last=right.shape[1]).cpu()
    for fault in _faults_of(made.case, len(right)) if probed else ():
        wrong = reference_logits(weights, text, last=right.shape[1], reading=fault).cpu()
        tokens, logs = _with_fault(right, want, wrong)
        probes.append(fault.name)
        *of_tokens, of_logs = (figure.within for figure in known.figures(tokens, logs))
        if all(of_tokens):
            blunt_without.append(fault.name)
            if of_logs:
                blunt.append(fault.name)
    return Sharpness(base.noise, base.ties, tuple(probes), tuple(blunt), tuple(blunt_without), rms, largest)


def _budget_of_logs(made: Answers, weights: ModelWeights) -> tuple[float, float]:
    """How far log-probabilities may be off: twice what the dtype does at the places of the texts, or a small floor."""
    case = made.case
    exact = torch.float64 if case.dtype == "float32" else torch.float32
    text = torch.cat([made.prompts[: len(made.continuation)], made.continuation], 1)
    ids, after = text[:, :-1].to(weights.embedding.device), text[:, 1:]
    want = reference_logits(weights, ids, dtype=exact).cpu()
    got = reference_logits(
        weights, ids, dtype=case.torch_dtype, rounded=rounding(case.weights), reading=stored(case)
    ).cpu()
    likely = want.argmax(-1)  # as an answer's tokens are; those of the prompt are most unlikely
    off = logs_of(got, likely) - logs_of(want, likely)
    if off.shape[1] > 2 * EARLY and float(off.square().mean()) > float(off[:, EARLY:].square().mean()):
        off = off[:, EARLY:]
    return _allowed_of_logs(case, off, min(len(judged(case.requests)) * case.new_tokens, after.numel()))


def _allowed_of_logs(case: GenerateCase, off: Tensor, places: int) -> tuple[float, float]:
    """Root mean square and largest error that log-probabilities may have, of what the dtype makes of them.

    places: how few the root mean square may hang on.
    """
    rms = max(float(off.square().mean().sqrt()), LOGS_FLOOR[case.dtype]) * (1 + 1 / math.sqrt(places))
    return MARGIN * rms, MARGIN * max(float(off.abs().max()), LARGEST_OVER_RMS * rms)


def _many_sharpness(made: ManyAnswers, weights: ModelWeights) -> dict[str, Any]:
    """The fields of `ManyAnswers` that are measured: on random texts, as long as the answers.

    Draws at a place depend on its distribution alone, so that samplers can be tried on any text.
    """
    case = made.case
    generator = torch.Generator().manual_seed(0)
    size = (len(made.prompts), case.new_tokens)
    texts = torch.randint(0, case.config.vocab_size, size, generator=generator)
    texts[0] = reference_greedy(weights, made.prompts[:1], case.new_tokens).cpu()
    noise, _ = _noise(case, weights, made.prompts, texts[:1])
    logits, rounded = (_many_logits(weights, made.prompts, texts, of) for of in (None, case))
    exact = _many_logits(weights, made.prompts, texts, dtype=torch.float64) if case.dtype == "float32" else logits
    likely = exact.argmax(-1)
    rms, largest = _allowed_of_logs(case, logs_of(rounded, likely) - logs_of(exact, likely), likely.numel())
    typical = rms / MARGIN
    laws = _laws(case, made.prompts, texts, logits)
    drift = laws.drift(_laws(case, made.prompts, texts, rounded))
    law = Noise(
        typical,
        2 * MARGIN * noise,
        laws.borderline(2 * typical),
        float(drift.mean().abs()),
        float(drift.square().mean().sqrt()),
    )
    probes, blunt = blunt_probes(laws, (MANY_CALLS, *size), law, seed=1)
    return {
        "noise": noise, "ties": math.nan, "logs_rms": rms, "logs_largest": largest, "law": law,
        "probes": tuple(probes), "blunt": tuple(blunt), "blunt_without": tuple(blunt),
    }  # fmt: skip


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


def _wrong_answers(made: Answers) -> dict[str, Tensor]:
    """Answers to the first prompt that must be rejected, by the name of the fault."""
    right = made.continuation[:1]
    wrong = {"zeros": torch.zeros_like(right), "every token one too large": (right + 1) % made.case.config.vocab_size}
    if made.case.new_tokens > 1:
        wrong["one token late"] = right.roll(1, 1)
    if made.case.decoding.greedy:
        logits = answer_logits(made.weights(), made.prompts[0], right[0], torch.float32)
        best = logits.topk(2, -1)
        clearest = int((best.values[:, 0] - best.values[:, 1]).argmax())
        second = right.clone()
        second[0, clearest] = best.indices[clearest, 1]
        wrong["the second best once"] = second
    return wrong
