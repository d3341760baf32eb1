"""The check of `serve`: what each draw of a case is expected to answer, and which lies of a server it would see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from attnlab.bench.llm.models.prompts import RANDOM
from attnlab.bench.llm.models.reference import reference_greedy
from attnlab.bench.ops.generate.answers import Answers
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.bench.ops.generate.check import ExactTokens
from attnlab.bench.ops.generate.contract import weights_for, weights_of
from attnlab.bench.ops.serve import salt as salting
from attnlab.bench.ops.serve.answers import Judging, ServeAnswers
from attnlab.bench.ops.serve.case import COLD
from attnlab.bench.ops.serve.lengths import FIXED, Lengths
from attnlab.bench.ops.serve.loads import LoadAxis
from attnlab.bench.ops.serve.prompts import Writer, prompts_of
from attnlab.bench.ops.serve.tokenizers import tokenizer_for
from attnlab.bench.ops.serve.told import LENGTH, Told, tensors_of, told_in

if TYPE_CHECKING:
    from attnlab.bench.ops.serve.case import ServeCase
    from attnlab.bench.ops.serve.inputs import ServeInputs

CPU = torch.device("cpu")
FEW, SHORT = 2, 4  # answers that lies are tried on, and their tokens


@dataclass(frozen=True)
class ServedText:
    """expected: of `generate`, which measures the noise of a model once. tried: the lies that cases were tried on."""

    expected: ExactTokens = field(default_factory=lambda: ExactTokens(weights_for))
    tried: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def expect(self, case: ServeCase, inputs: ServeInputs) -> ServeAnswers:
        tokenizer = tokenizer_for(case)
        judging = Judging(
            case=case,
            numbers=tuple(inputs.numbers.tolist()),
            seed=inputs.seed,
            tokenizer=tokenizer,
            reference=self._reference(case) if case.knows_weights else None,
            weights=lambda: weights_of(case.model, case.torch_dtype, CPU),
        )
        answers = ServeAnswers(judging, inputs.asks)
        if not inputs.asks:
            return answers
        if case.id not in self.tried:
            self.tried[case.id] = _tried(answers)
        probes, blunt = self.tried[case.id]
        return replace(answers, probes=probes, blunt=blunt)

    def _reference(self, case: ServeCase) -> Answers:
        """What `generate` expects of a case as long as the longest: how far logits may be off."""
        alike = GenerateCase(
            model=case.model,
            prompts=case.prompts,
            prompt_len=case.most_prompt,
            new_tokens=case.most_new,
            decoding=case.sampling,
            dtype=case.dtype,
        )
        tokenizer = tokenizer_for(case)
        if case.prompts == RANDOM:
            ids = prompts_of(replace(alike_load(case), requests=1), None, (0,), (salting.NONE,), 0)[0].ids
        else:
            assert tokenizer is not None
            ids = Writer(case.prompts, tokenizer, exact=True).first(0, case.most_prompt, salting.NONE).ids
        prompt = torch.tensor([ids])
        return self.expected.expect(alike, GenerateInputs(prompt, weights_for(alike, CPU), tokenizer, (0.0,), 0))


def alike_load(case: ServeCase) -> ServeCase:
    """The same prompts and answers of the longest lengths, one after another."""
    return replace(
        case,
        load=LoadAxis.read("concurrency:1"),
        prompt_len=Lengths(FIXED, case.most_prompt, case.most_prompt),
        new_tokens=Lengths(FIXED, case.most_new, case.most_new),
    )


def _tried(answers: ServeAnswers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the lies that were tried, and of those that the check of this case would let through.

    On few and short answers: a pass of the reference costs a good part of a second, and what is seen there is seen in
    longer ones.
    """
    answers = _shorter(answers)
    right = _right(answers)
    lies = dict(_lies(answers.judging.case, right))
    through = tuple(name for name, (stream, whole) in lies.items() if _accepted(answers, stream, whole))
    return tuple(lies), through


def _shorter(answers: ServeAnswers) -> ServeAnswers:
    judging = answers.judging
    case = judging.case
    if case.most_turns > 1:
        return answers
    rows, new = min(FEW, case.requests), min(SHORT, case.most_new)
    small = replace(case, requests=rows, new_tokens=Lengths(FIXED, new, new))
    return replace(answers, judging=replace(judging, case=small, numbers=judging.numbers[:rows]))


def _accepted(answers: ServeAnswers, stream: Sequence[Told], whole: Sequence[Told]) -> bool:
    case = answers.judging.case
    handed = [told_in(tensors_of(case, told)) for told in (stream, whole)]
    return all(one.within for one in answers.judging.deviations(*handed))


def _right(answers: ServeAnswers) -> list[Told]:
    """Answers as they ought to be: the reference's own, or, of weights that are not known, texts that all differ."""
    judging = answers.judging
    case = judging.case
    salt = (0,) * salting.LENGTH if case.prefix == COLD else salting.NONE
    wanted = [new for _, new in case.lengths_of(judging.seed)]
    if judging.reference is None:
        texts = [f"answer {row} ".encode() * new for row, new in enumerate(wanted)]
        return [
            Told(None, text, None, new, LENGTH, False, len(text), salt) for text, new in zip(texts, wanted, strict=True)
        ]
    prompts = prompts_of(case, judging.tokenizer, judging.numbers, [salt] * case.requests, judging.seed)
    found: list[Told] = []
    if len({(len(one.ids or ()), new) for one, new in zip(prompts, wanted, strict=True)}) == 1 and prompts[-1].ids:
        together = reference_greedy(judging.weights(), torch.tensor([one.ids for one in prompts]), wanted[0])
        return [_told(answers, tuple(ids), len(prompts[0].ids or ()), salt) for ids in together.tolist()]
    for row, new in enumerate(wanted):
        asked = judging.prompt_ids(row, prompts, found)
        ids = tuple(reference_greedy(judging.weights(), torch.tensor([asked]), new)[0].tolist())
        found.append(_told(answers, ids, len(asked or ()), salt))
    return found


def _told(answers: ServeAnswers, ids: tuple[int, ...], prompt: int, salt: salting.Salt) -> Told:
    tokenizer = answers.judging.tokenizer
    text = b"" if tokenizer is None else tokenizer.decode(ids).encode()
    return Told(ids, text, prompt, len(ids), LENGTH, False, len(text), salt)


def _lies(case: ServeCase, right: list[Told]) -> Iterator[tuple[str, tuple[list[Told], list[Told]]]]:
    """Wrong answers that must be rejected, by the name of the fault: as a stream, and whole."""

    def all_of(change: dict[str, object]) -> list[Told]:
        return [replace(one, **change) for one in right]  # type: ignore[arg-type]

    short = [
        replace(one, ids=one.ids[:-1] if one.ids else None, completion=max(0, (one.completion or 1) - 1))
        for one in right
    ]
    yield "answers one token short", (short, short)
    yield "no answers", (all_of({"failed": True}), right)
    halved = [replace(one, text=one.text[: len(one.text) // 2]) for one in right]
    if all(len(one.text) > 1 for one in right):
        yield "a stream that breaks off", (halved, right)
    twice = [
        replace(one, ids=(one.ids[:1] + one.ids)[: len(one.ids)] if one.ids else None, text=one.text[:8] + one.text)
        for one in right
    ]
    if case.sampling.greedy and case.most_new > 1:
        yield "tokens doubled in the stream", (twice, right)
    if right[0].ids:
        more = [replace(one, completion=(one.completion or 0) + 1) for one in right]
        yield "usage of one token more", (more, more)
        yield "usage of another prompt", (all_of({"prompt": 2 * (right[0].prompt or 8)}), right)
    if len(right) > 1 and case.sampling.greedy:
        others = [replace(right[row - 1], salt=one.salt, prompt=one.prompt) for row, one in enumerate(right)]
        yield "the answer to another prompt", (others, others)
    if case.prefix == COLD:
        plain = all_of({"salt": salting.NONE})
        yield "prompts that a cache may know", (plain, plain)
