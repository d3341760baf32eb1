"""Runs a model over requests whose pages come from one pool: a stretch of one of them, or a token of several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnlab.bench.generation.events import Pass
from attnlab.bench.models.weights import ModelWeights
from attnlab.bench.ops.generate import GenerateCase
from attnlab.impls._lm.decoder import Decoder
from attnlab.impls._lm.engine import Ran, passes_of
from attnlab.impls._lm.memory import Memory
from attnlab.impls._lm.parts import Parts
from attnlab.impls._lm.scheduler import Chunk, Request

ROWS = 16  # a chunk is filled up to a multiple of it, so that the decoder is set up for few lengths


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

    def read(self, chunk: Chunk) -> Tensor:
        """Store a chunk -> logits [1, V] after its last token."""
        start_ns = time.perf_counter_ns()
        new = chunk.stop - chunk.start
        filled = -new % ROWS
        view = self.memory.view([chunk.request.pages], [chunk.stop])
        attend = partial(view.attend_chunk, view.lengths - new, chunk.stop)

        def attend_real(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = attend(layer, q[:, :new], k[:, :new], v[:, :new])
            return pad(out, (0, 0, 0, 0, 0, filled))

        ids = torch.tensor([[*chunk.request.text[chunk.start : chunk.stop], *[0] * filled]], device=self._device)
        positions = torch.arange(chunk.start, chunk.stop + filled, device=self._device)[None]
        hidden = self.decoder.hidden(ids, positions, attend_real)
        logits = self.decoder.logits(hidden[:, new - 1 : new])[:, 0]
        self._note("prefill", start_ns, new, [chunk.stop])
        return logits

    def step(self, requests: Sequence[Request]) -> Tensor:
        """Store the last token of each -> logits [B, V] after them."""
        start_ns = time.perf_counter_ns()
        lengths = [request.stored + 1 for request in requests]
        view = self.memory.view([request.pages for request in requests], lengths)
        plan = view.plan(1, lengths)
        ids = torch.tensor([request.text[-1:] for request in requests], device=self._device)
        hidden = self.decoder.hidden(ids, plan.starts[:, None].long(), partial(view.attend, plan, plan.starts))
        logits = self.decoder.logits(hidden)[:, 0]
        self._note("decode", start_ns, len(requests), lengths)
        return logits

    def passes(self) -> list[Pass]:
        """What was run since `begin`, with the bytes that each pass had to read."""
        return passes_of(self.ran, self.decoder, self.memory)

    @property
    def _device(self) -> torch.device:
        return self.decoder.device

    def _note(self, kind: str, start_ns: int, rows: int, lengths: Sequence[int]) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.ran.append(Ran(kind, float(time.perf_counter_ns() - start_ns), rows, tuple(lengths)))
