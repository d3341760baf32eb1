"""Beam search: of several texts that grow together the likeliest is the answer, the greedy one among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import GenerateCase
from attnlab.bench.llm import Recorder
from attnlab.impls._lm.setting import Setting


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


class Beam:
    """Keeps the likeliest texts of each length, made from those of the length before."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.beams = setting, setting.engine.batch - 1

    def answer(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """The answer to one request, int64 [1, N]; nothing of it is certain before the end."""
        engine, new = self.setting.engine, self.setting.new_tokens
        (request,) = requests
        prompt = list(recorder.prompt(request))
        found = self._first(engine.prompt(torch.tensor([prompt])))
        while len(found.ids[-1]) < new:
            last = torch.tensor([ids[-1:] for ids in found.ids], device=engine.device)
            found = self._extended(found, engine.step(last)[:, 0], len(prompt))
        answer = found.ids[found.likeliest]
        recorder.arrived(request, answer)
        if recorder.evidence is not None:
            recorder.evidence.tell_logs(request, found.logs[found.likeliest])
        return torch.tensor([answer])

    def _first(self, logits: Tensor) -> Hypotheses:
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

    def _extended(self, found: Hypotheses, logits: Tensor, prompt_tokens: int) -> Hypotheses:
        """Texts of one token more, from logits [beams + 1, V], each with the cache of the text that it came from."""
        each = log_probabilities(logits)
        scores = found.scores[:, None] + each
        best = scores[:-1].flatten().topk(self.beams)
        parents = (best.indices // logits.shape[-1]).tolist()
        tokens, values = (best.indices % logits.shape[-1]).tolist(), best.values.tolist()
        places = placed(parents)
        moved = [(parent, place) for parent, place in zip(parents, places, strict=True) if parent != place]
        if moved:
            sources, targets = zip(*moved, strict=True)
            self.setting.engine.memory.copy_tokens(
                sources, targets, prompt_tokens, prompt_tokens + len(found.ids[0])
            )  # fmt: skip
        greedy = int(scores[-1].argmax())
        ids = [[*found.ids[-1], greedy]] * len(found.ids)
        logs = [[*found.logs[-1], float(each[-1, greedy])]] * len(found.ids)
        kept = scores[-1, greedy].repeat(len(found.ids))
        for parent, token, place, value in zip(parents, tokens, places, values, strict=True):
            ids[place], kept[place] = [*found.ids[parent], token], value
            logs[place] = [*found.logs[parent], float(each[parent, token])]
        return Hypotheses(ids, logs, kept)


def log_probabilities(logits: Tensor) -> Tensor:
    """Of all tokens, float64 [B, V] on the CPU."""
    return logits.float().log_softmax(-1).double().cpu()


def placed(parents: Sequence[int]) -> list[int]:
    """The sequence that each child takes: one stays in its parent's, further ones take those that have no child."""
    free = [row for row in range(len(parents)) if row not in parents]
    return [free.pop() if parent in parents[:n] else parent for n, parent in enumerate(parents)]


def sequences(case: GenerateCase) -> int:
    """Of the engine: the beams, and the greedy text."""
    assert case.decoding.number is not None
    return case.decoding.number + 1


def prepare(setting: Setting) -> Beam:
    setting.engine.set_up(setting.case.prompt_len, 1, prompts=1)
    return Beam(setting)
