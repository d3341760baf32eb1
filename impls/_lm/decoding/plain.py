"""One token a pass: the most likely one, or one that is drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench.llm import Recorder
from attnlab.impls._lm.sampler import Sampler, padded
from attnlab.impls._lm.setting import Setting


class Plain:
    """Greedy decoding and sampling."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def answer(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """Answers to a batch of requests, int64 [B, N]."""
        engine, new = self.setting.engine, self.setting.new_tokens
        sampler = Sampler(self.setting.params, self.setting.parts.sampling, seed)
        uniforms = torch.stack([sampler.uniforms(request, new) for request in requests])  # [B, N]
        texts = [list(recorder.prompt(request)) for request in requests]
        logits = engine.prompt(torch.tensor(texts))
        produced: list[Tensor] = []
        for place in range(new):
            begun = time.perf_counter_ns()
            seen = padded(texts).to(logits.device) if sampler.params.penalises else None
            chosen = sampler.choose(logits, uniforms[:, place], seen)
            ids = chosen.tolist()  # the host waits for the device here, as a server must to send them
            for row, request in enumerate(requests):
                if place == 0:
                    recorder.first_sample(request, float(time.perf_counter_ns() - begun))
                recorder.arrived(request, ids[row : row + 1])
                if recorder.evidence is not None:
                    recorder.evidence.tell(request, logits[row : row + 1], ids[row : row + 1])
                texts[row].append(ids[row])
            produced.append(chosen)
            if place + 1 < new:
                logits = engine.step(chosen[:, None])[:, 0]
        return torch.stack(produced, 1).cpu()


def prepare(setting: Setting) -> Plain:
    setting.engine.set_up(setting.case.prompt_len, 1)
    return Plain(setting)
