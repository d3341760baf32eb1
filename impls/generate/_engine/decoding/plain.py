"""One token a pass: the most likely one, or one that is drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench.llm import Recorder
from attnlab.impls.generate._engine.decoding_method import DecodingContext
from attnlab.impls.generate._engine.sampler import Sampler, pad_rows


class PlainDecoding:
    """Greedy decoding and sampling."""

    def __init__(self, context: DecodingContext) -> None:
        self.context = context

    def generate(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """Answers to a batch of requests, int64 [B, N]."""
        engine, new = self.context.engine, self.context.new_tokens
        sampler = Sampler(self.context.params, self.context.parts, seed)
        uniforms = torch.stack([sampler.uniforms(request, new) for request in requests])  # [B, N]
        token_ids = [list(recorder.prompt(request)) for request in requests]
        logits = engine.prefill(torch.tensor(token_ids))
        outputs: list[Tensor] = []
        for place in range(new):
            start_ns = time.perf_counter_ns()
            seen = pad_rows(token_ids).to(logits.device) if sampler.params.penalises else None
            tokens = sampler.sample(logits, uniforms[:, place], seen)
            ids = tokens.tolist()  # the host waits for the device here, as a server must to send them
            for row, request in enumerate(requests):
                if place == 0:
                    recorder.first_sample(request, float(time.perf_counter_ns() - start_ns))
                recorder.arrived(request, ids[row : row + 1])
                if recorder.evidence is not None:
                    recorder.evidence.tell(request, logits[row : row + 1], ids[row : row + 1])
                token_ids[row].append(ids[row])
            outputs.append(tokens)
            if place + 1 < new:
                logits = engine.decode(tokens[:, None])[:, 0]
        return torch.stack(outputs, 1).cpu()


def prepare(context: DecodingContext) -> PlainDecoding:
    context.engine.set_up(context.case.prompt_len, 1)
    return PlainDecoding(context)
