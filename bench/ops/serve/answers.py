"""What is expected of a server's answers: their length, their usage, their text, and, where the weights are known, that
the reference model would have said the same.

A greedy token must be the reference's most likely one within the numeric noise of the case, as in `generate`. Where the
server tells no ids, the text is held to the same: at each place one of the tokens within that noise must be what the
text goes on with (see `text_ids`). Needles are asked for twice, as a stream and whole, and both must be one text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.ops.generate.answers import MARGIN, AnswerReading, Answers, answer_logits, many_logits, regret
from attnlab.bench.ops.serve import salt as salting
from attnlab.bench.ops.serve.case import COLD, OWN_END
from attnlab.bench.ops.serve.prompts import Prompt, prompts_of
from attnlab.bench.ops.serve.text_ids import REPLACED, spelled
from attnlab.bench.ops.serve.told import STOPPED, Told, told_in
from attnlab.bench.store.deviations import Deviation

if TYPE_CHECKING:
    from attnlab.bench.llm.models.tokenizer import Tokenizer
    from attnlab.bench.llm.models.weights import ModelWeights
    from attnlab.bench.ops.serve.case import ServeCase

MOST_JUDGED = 4  # requests of a call that the reference reads: a pass over one takes a good part of a second
NO_ROOM = 0.5  # for what may not be at all
BEGINNING_TOKEN = 1  # tokens that a server may put before a prompt
NEARLY = 0.25  # of its tokens by which a text's length may be off, where it is told by an encoder
FEW_TOKENS = 2
ALIKE = 0.5  # share of answers that may be those to other prompts too
DIFFERENT = 0.5  # share of answers that arithmetic may make differ between a stream and whole
SHORTEST_TOLD = 4  # tokens of an answer from which answers of different prompts differ


@dataclass(frozen=True)
class Judging:
    """What answers are held to. tokenizer: counts and writes prompts; None for random ones. reference: of known
    weights, as `generate` expects answers; None where they are not known. weights: the model, where it is.
    """

    case: ServeCase
    numbers: tuple[int, ...]
    seed: int
    tokenizer: Tokenizer | None
    reference: Answers | None
    weights: Callable[[], ModelWeights]

    def deviations(self, streamed: Sequence[Told], whole: Sequence[Told] = ()) -> Iterator[Deviation]:
        """Of one call, what costs a pass of the reference last.

        whole: the same prompts asked for in one piece; () where they were not.
        """
        answered = [row for row, one in enumerate(streamed) if not one.failed]
        if not answered:
            yield Deviation("requests without an answer", 1.0, NO_ROOM)
            return
        prompts = prompts_of(self.case, self.tokenizer, self.numbers, [one.salt for one in streamed], self.seed)
        wanted = [new for _, new in self.case.lengths_of(self.seed)]
        yield from self._unique(streamed)
        yield from self._lengths(streamed, answered, wanted)
        yield from self._usage(streamed, answered, prompts)
        yield from self._distinct(streamed, answered)
        if whole:
            yield from self._whole(streamed, whole, answered, wanted, prompts)
        if self.reference:
            yield from self._referred(streamed, answered, prompts)

    def _unique(self, told: Sequence[Told]) -> Iterator[Deviation]:
        if self.case.prefix == COLD:
            plain = sum(salting.is_none(one.salt) for one in told)
            yield Deviation("prompts that nothing makes unique", float(plain), NO_ROOM)

    def _lengths(self, told: Sequence[Told], rows: Sequence[int], wanted: Sequence[int]) -> Iterator[Deviation]:
        """By the ids, else by usage, else by an encoder, which may spell a text with fewer tokens than a model did."""
        short, nearly = 0, 0.0
        for row in rows:
            one, due = told[row], wanted[row]
            count = len(one.ids) if one.ids else one.completion
            if count is None:
                spelled_as = self._encoded(one)
                if spelled_as is not None and not self._may_end(one, spelled_as, due):
                    nearly = max(nearly, abs(spelled_as - due) / max(due, FEW_TOKENS / NEARLY))
            elif count != due and not self._may_end(one, count, due):
                short += 1
        yield Deviation("answers of another length than asked for", float(short), NO_ROOM)
        if nearly:
            yield Deviation("share by which the length of an encoded answer is off", nearly, NEARLY)

    def _may_end(self, one: Told, count: int, due: int) -> bool:
        return self.case.ending == OWN_END and one.finish == STOPPED and 0 < count < due

    def _encoded(self, one: Told) -> int | None:
        if self.tokenizer is None or not self.case.has_tokenizer or REPLACED in one.text:
            return None
        return len(self.tokenizer.encode(one.text.decode("utf-8", "replace"), plain=True))

    def _usage(self, told: Sequence[Told], rows: Sequence[int], prompts: Sequence[Prompt]) -> Iterator[Deviation]:
        wrong, nearly, prompt_off = 0, 0.0, 0
        encodes = self.reference is None or not self.case.sampling.greedy  # else the reference spells the text
        for row in rows:
            one, ids = told[row], self.prompt_ids(row, prompts, told)
            if one.completion is not None and one.ids:
                wrong += one.completion != len(one.ids)
            elif encodes and one.completion is not None and (count := self._encoded(one)) is not None:
                nearly = max(nearly, abs(count - one.completion) / max(one.completion, FEW_TOKENS / NEARLY))
            if one.prompt is not None and ids is not None:
                prompt_off = max(prompt_off, abs(one.prompt - len(ids)))
        yield Deviation("answers whose usage is not the number of their tokens", float(wrong), NO_ROOM)
        yield Deviation("tokens by which usage is off a prompt", float(prompt_off), BEGINNING_TOKEN)
        if nearly:
            yield Deviation("share by which usage is off an encoded answer", nearly, NEARLY)

    def _distinct(self, told: Sequence[Told], rows: Sequence[int]) -> Iterator[Deviation]:
        """Different prompts have different answers, of any length worth the name, where no reference knows better."""
        if self.reference is not None:
            return
        texts = [told[row].text for row in rows if len(told[row].text) >= SHORTEST_TOLD]
        if len(texts) > 1 and self.case.most_new >= SHORTEST_TOLD:
            alike = sum(texts.count(text) > 1 for text in texts) / len(texts)
            yield Deviation("share of answers that other prompts have too", alike, ALIKE)

    def _whole(
        self,
        streamed: Sequence[Told],
        whole: Sequence[Told],
        rows: Sequence[int],
        wanted: Sequence[int],
        prompts: Sequence[Prompt],
    ) -> Iterator[Deviation]:
        """The same prompts in one piece."""
        yield from (replace(one, name=f"{one.name}, whole") for one in self._lengths(whole, rows, wanted))
        if not self.case.sampling.greedy:
            return
        cut, other = 0, []
        for row in rows:
            one, two = (_before_cut(told[row].text) for told in (streamed, whole))
            if one == two:
                continue
            if one.startswith(two) or two.startswith(one):
                cut += 1
            else:
                other.append(row)
        yield Deviation("streams that are a part of the whole answer, or more", float(cut), NO_ROOM)
        if self.reference is None:
            differing = len(other) / len(rows)
            yield Deviation("share of streams that are another text than the whole answer", differing, DIFFERENT)
        elif other:  # of two tokens that are nearly as likely, arithmetic may take the one here and the other there
            judged = self._referred(whole, other, prompts)
            yield from (replace(one, name=f"{one.name}, whole") for one in judged)

    def _referred(self, told: Sequence[Told], rows: Sequence[int], prompts: Sequence[Prompt]) -> Iterator[Deviation]:
        """By the reference, of some of the answers."""
        assert self.reference is not None
        greedy, allowed = self.case.sampling.greedy, 2 * MARGIN * self.reference.noise
        read: list[AnswerReading] = []
        by_text: list[tuple[int, Tensor]] = []
        by_ids: list[tuple[int, Tensor, Tensor]] = []
        strange = 0
        for row in _some(rows):
            one, known = told[row], self.prompt_ids(row, prompts, told)
            if known is None:
                continue
            prompt = torch.tensor(known)
            if not one.ids:
                by_text += [(row, prompt)] if greedy and self.tokenizer is not None else []
            elif self._may_be(one):
                by_ids.append((row, prompt, torch.tensor(one.ids)))
            else:
                strange += 1
        for row, prompt in by_text:
            reading = self._spelled(told[row], prompt, row, allowed)
            read += [] if reading is None else [reading]
            strange += reading is None and not told[row].text.startswith(REPLACED) and bool(told[row].text)
        read += self._read_together(by_ids)
        yield Deviation("answers that no likely tokens spell", float(strange), NO_ROOM)
        if self.case.ending == OWN_END and greedy:
            short = [self._end_short(one) for one in read if told[one.number].finish == STOPPED]
            yield Deviation("what the end falls short of going on", max(short, default=0.0), allowed, "logits")
        if read:
            yield from self.reference.weighed(self.reference.continuation, read)

    def _read_together(self, answers: Sequence[tuple[int, Tensor, Tensor]]) -> Iterator[AnswerReading]:
        """Answers as the reference reads them, those of equal lengths in one pass."""
        alike: dict[tuple[int, int], list[tuple[int, Tensor, Tensor]]] = {}
        for row, prompt, answer in answers:
            alike.setdefault((len(prompt), len(answer)), []).append((row, prompt, answer))
        for group in alike.values():
            prompts, texts = torch.stack([one[1] for one in group]), torch.stack([one[2] for one in group])
            logits = many_logits(self.weights(), prompts, texts)
            for (row, prompt, answer), read in zip(group, logits, strict=True):
                yield AnswerReading(prompt, answer, read, row)

    def _may_be(self, one: Told) -> bool:
        """Whether its ids are tokens, and its text is theirs."""
        if not all(0 <= index < self.case.config.vocab_size for index in one.ids or ()):
            return False
        return self.tokenizer is None or self._shows(one)

    def _spelled(self, one: Told, prompt: Tensor, row: int, allowed: float) -> AnswerReading | None:
        """A text as the reference reads it; None of one of which no tokens can be found."""
        assert self.tokenizer is not None

        def read(answer: Tensor) -> Tensor:
            return answer_logits(self.weights(), prompt, answer)

        spelling = spelled(one.text, self.tokenizer, read, allowed, self.case.most_new)
        if spelling is None:
            return None
        tokens = len(spelling.ids)
        if not spelling.left and one.completion is not None and REPLACED not in one.text:
            specials = self.tokenizer.special.values()
            if one.completion - tokens > FEW_TOKENS and not any(index in specials for index in spelling.ids.tolist()):
                return None
        return AnswerReading(prompt, spelling.ids, spelling.logits, row)

    def _shows(self, one: Told) -> bool:
        """Whether the text is that of the ids."""
        assert self.tokenizer is not None
        assert one.ids is not None
        due = _before_cut(self.tokenizer.decode(one.ids).encode())
        return due == _before_cut(one.text) or (one.text_bytes > len(one.text) and due.startswith(one.text))

    def _end_short(self, reading: AnswerReading) -> float:
        """How far the likeliest end token is below the best one, behind an answer."""
        assert self.tokenizer is not None
        ends = torch.tensor(self.tokenizer.eos_ids or (0,))
        longer = torch.cat([reading.answer, ends[:1]])
        logits = answer_logits(self.weights(), reading.prompt, longer)[-1:]
        return min(float(regret(logits, ends[n : n + 1])) for n in range(len(ends)))

    def prompt_ids(self, row: int, prompts: Sequence[Prompt], told: Sequence[Told]) -> tuple[int, ...] | None:
        """The whole prompt's, of a later turn with the answers before it; None where they cannot be known."""
        prompt = prompts[row]
        if prompt.ids is not None or self.tokenizer is None or not self.case.has_tokenizer:
            return prompt.ids
        parts: list[str] = []
        at: int | None = row
        while at is not None:
            parts.append(prompts[at].text or "")
            at = prompts[at].after
            if at is not None:
                if told[at].failed or told[at].text_bytes > len(told[at].text):
                    return None
                parts.append(told[at].text.decode("utf-8", "replace"))
        return tuple(self.tokenizer.encode("".join(reversed(parts))))


def _before_cut(text: bytes) -> bytes:
    """Without a character that was cut short at the end."""
    while text.endswith(REPLACED):
        text = text[: -len(REPLACED)]
    return text


def _some(rows: Sequence[int]) -> list[int]:
    if len(rows) <= MOST_JUDGED:
        return list(rows)
    return sorted({rows[round(n * (len(rows) - 1) / (MOST_JUDGED - 1))] for n in range(MOST_JUDGED)})


@dataclass(frozen=True)
class ServeAnswers:
    """The expectation of one set of inputs; calls on it are judged one by one, since each has unique prompts.

    asks: whether each call holds the whole answers beside the streamed ones.
    """

    judging: Judging
    asks: bool
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()

    @property
    def expected(self) -> tuple[Tensor, ...]:
        """As many answers as are judged; what stands in them is not compared."""
        case = self.judging.case
        return (torch.zeros((min(case.requests, MOST_JUDGED), case.most_new)),)

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        return self.judge_calls([outputs])

    def judge_calls(self, calls: Sequence[Sequence[Tensor]]) -> list[Deviation]:
        """Of each measure the largest share of what is allowed."""
        worst: dict[str, Deviation] = {}
        for call in calls:
            for one in self._judged(call):
                if one.name not in worst or not one.share_of_budget <= worst[one.name].share_of_budget:
                    worst[one.name] = one
        return list(worst.values())

    def _judged(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        half = len(outputs) // 2 if self.asks else len(outputs)
        try:
            streamed = told_in(outputs[:half])
            return list(self.judging.deviations(streamed, told_in(outputs[half:]) if self.asks else ()))
        except ValueError as error:
            return [Deviation(f"answers that cannot be ({error})", 1.0, NO_ROOM)]
