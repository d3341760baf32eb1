"""Runs a model over requests whose pages come from one pool: a token of several, and a stretch of one in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from attnlab.bench import GenerateCase, ModelWeights
from attnlab.bench.llm import Pass
from attnlab.impls._lm.decoder import Attend, Decoder
from attnlab.impls._lm.engine import Ran, passes_of
from attnlab.impls._lm.memory import Memory
from attnlab.impls._lm.parts import Parts
from attnlab.impls._lm.scheduler import Chunk, Request

ROWS = 16  # a pass with a chunk is filled up to a multiple of it, so that the decoder is set up for few lengths


class PooledEngine:
    """A decoder over one pool of pages; which request has which of them is said anew for every pass."""

    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts) -> None:
        self.pages = case.pages or case.batch * case.placing.pages_for(case.total)
        self.decoder = Decoder(weights, parts, case.total + ROWS)
        self.memory = Memory(
            weights.config, parts, case.placing, case.format, weights.dtype, weights.device, case.batch, case.total,
            self.pages,
        )  # fmt: skip
        self.ran: list[Ran] = []

    def begin(self) -> None:
        """Forget every pass."""
        self.ran = []

    def run(self, chunk: Chunk | None, requests: Sequence[Request]) -> Tensor:
        """Store a chunk, and the last token of each running request, in one pass that reads the weights once.

        -> logits [B, V] after the last token of each request, and of the chunk as the last row where there is one.
        """
        start_ns = time.perf_counter_ns()
        stretches = [(request.text[-1:], request.stored) for request in requests]
        if chunk is not None:
            stretches.append((chunk.request.text[chunk.start : chunk.stop], chunk.start))
        ids = [token for tokens, _ in stretches for token in tokens]
        positions = [start + place for tokens, start in stretches for place in range(len(tokens))]
        filled = 0 if chunk is None else -len(ids) % ROWS
        rows = torch.tensor([[*ids, *[0] * filled], [*positions, *[0] * filled]], device=self._device)
        hidden = self.decoder.hidden(rows[:1], rows[1:], self._attend(chunk, requests, filled))
        last = [*range(len(requests)), *([] if chunk is None else [len(ids) - 1])]
        logits = self.decoder.logits(hidden[:, last])[0]
        lengths = [*(request.stored + 1 for request in requests), *([] if chunk is None else [chunk.stop])]
        new = tuple(len(tokens) for tokens, _ in stretches)
        self._note("decode" if chunk is None else "prefill", start_ns, lengths, new)
        return logits

    def _attend(self, chunk: Chunk | None, requests: Sequence[Request], filled: int) -> Attend:
        """Over rows [1, S, H, D]: a token of each request, then the chunk, then what only fills up."""
        count = len(requests)
        steps = self._step(requests) if requests else None
        stretch = None if chunk is None else self._stretch(chunk)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            outs = []
            if steps is not None:
                outs.append(steps(layer, *(x[0, :count, None] for x in (q, k, v))).transpose(0, 1))
            if stretch is not None:
                outs.append(stretch(layer, *(x[:, count : x.shape[1] - filled] for x in (q, k, v))))
            if filled:
                outs.append(q[:, -filled:])
            return torch.cat(outs, 1)

        return attend

    def _step(self, requests: Sequence[Request]) -> Attend:
        lengths = [request.stored + 1 for request in requests]
        view = self.memory.view([request.pages for request in requests], lengths)
        plan = view.plan(1, lengths)
        return partial(view.attend, plan, plan.starts)

    def _stretch(self, chunk: Chunk) -> Attend:
        view = self.memory.view([chunk.request.pages], [chunk.stop])
        return partial(view.attend_chunk, view.lengths - (chunk.stop - chunk.start), chunk.stop)

    def passes(self) -> list[Pass]:
        """What was run since `begin`, with the bytes that each pass had to read."""
        return passes_of(self.ran, self.decoder, self.memory)

    @property
    def _device(self) -> torch.device:
        return self.decoder.device

    def _note(self, kind: str, start_ns: int, lengths: Sequence[int], new: tuple[int, ...]) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.ran.append(Ran(kind, float(time.perf_counter_ns() - start_ns), sum(new), tuple(lengths), new))
