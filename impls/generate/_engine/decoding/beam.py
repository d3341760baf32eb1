"""Beam search: of several texts that grow together the likeliest is the answer, the greedy one among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import GenerateCase
from attnlab.bench.llm import Recorder
from attnlab.impls.generate._engine.decoding_method import DecodingContext


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Texts by the sequence of the engine that holds them: beams, and behind them the greedy one, which stays.

    ids: the answers so far. logs: the log-probability of each of their tokens. scores: those of the answers, float64
    [beams + 1]; −inf of a sequence without a text.
    """

    ids: list[list[int]]
    logs: list[list[float]]
    scores: Tensor

    @property
    def likeliest(self) -> int:
        """The number of its sequence."""
        return int(self.scores.argmax())


class BeamSearch:
    """Keeps the likeliest texts of each length, made from those of the length before."""

    def __init__(self, context: DecodingContext) -> None:
        self.context, self.beams = context, context.engine.batch - 1

    def generate(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """The answer to one request, int64 [1, N]; nothing of it is certain before the end."""
        engine, new = self.context.engine, self.context.new_tokens
        (request,) = requests
        prompt = list(recorder.prompt(request))
        hypotheses = self._begin(engine.prefill(torch.tensor([prompt])))
        while len(hypotheses.ids[-1]) < new:
            last = torch.tensor([ids[-1:] for ids in hypotheses.ids], device=engine.device)
            hypotheses = self._extend(hypotheses, engine.decode(last)[:, 0], len(prompt))
        answer = hypotheses.ids[hypotheses.likeliest]
        recorder.arrived(request, answer)
        if recorder.evidence is not None:
            recorder.evidence.tell_logs(request, hypotheses.logs[hypotheses.likeliest])
        return torch.tensor([answer])

    def _begin(self, logits: Tensor) -> Hypotheses:
        """The likeliest first tokens, from logits [1, V]."""
        best = log_probabilities(logits)[0].topk(min(self.beams, logits.shape[-1]))
        ids, scores = best.indices.tolist(), best.values.tolist()
        missing = self.beams - len(ids)
        logs = [*scores, *scores[:1] * missing, scores[0]]
        return Hypotheses(
            [[token] for token in (*ids, *ids[:1] * missing, ids[0])],
            [[log] for log in logs],
            torch.tensor([*scores, *[-torch.inf] * missing, scores[0]], dtype=torch.float64),
        )

    def _extend(self, before: Hypotheses, logits: Tensor, prompt_tokens: int) -> Hypotheses:
        """Texts of one token more, from logits [beams + 1, V], each with the cache of the text that it came from."""
        each = log_probabilities(logits)
        totals = before.scores[:, None] + each
        best = totals[:-1].flatten().topk(self.beams)
        parents = (best.indices // logits.shape[-1]).tolist()
        tokens, values = (best.indices % logits.shape[-1]).tolist(), best.values.tolist()
        places = place_children(parents)
        self._copy_caches(parents, places, prompt_tokens, prompt_tokens + len(before.ids[0]))
        greedy = int(totals[-1].argmax())
        ids = [[*before.ids[-1], greedy]] * len(before.ids)
        logs = [[*before.logs[-1], float(each[-1, greedy])]] * len(before.ids)
        scores = totals[-1, greedy].repeat(len(before.ids))
        for parent, token, place, value in zip(parents, tokens, places, values, strict=True):
            ids[place], scores[place] = [*before.ids[parent], token], value
            logs[place] = [*before.logs[parent], float(each[parent, token])]
        return Hypotheses(ids, logs, scores)

    def _copy_caches(self, parents: Sequence[int], places: Sequence[int], start: int, stop: int) -> None:
        """Children that are not in their parent's sequence get its tokens from position `start` to `stop`."""
        moves = [(parent, place) for parent, place in zip(parents, places, strict=True) if parent != place]
        if moves:
            sources, targets = zip(*moves, strict=True)
            self.context.engine.caches.copy_tokens(sources, targets, start, stop)


def log_probabilities(logits: Tensor) -> Tensor:
    """Of all tokens, float64 [B, V] on the CPU."""
    return logits.float().log_softmax(-1).double().cpu()


def place_children(parents: Sequence[int]) -> list[int]:
    """The sequence that each child takes: one stays in its parent's, further ones take those that have no child."""
    free = [row for row in range(len(parents)) if row not in parents]
    return [free.pop() if parent in parents[:n] else parent for n, parent in enumerate(parents)]


def sequences(case: GenerateCase) -> int:
    """Of the engine: the beams, and the greedy text."""
    assert case.decoding.number is not None
    return case.decoding.number + 1


def prepare(context: DecodingContext) -> BeamSearch:
    context.engine.set_up(context.case.prompt_len, 1, prompts=1)
    return BeamSearch(context)
