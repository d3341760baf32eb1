"""Runs a model over sequences whose pages come from one pool: a token of several, and a prefill chunk of one."""

from __future__ import annotations

import time
from collections import abc
from functools import partial

import torch
from torch import Tensor

from attnlab.bench import GenerateCase, ModelWeights
from attnlab.bench.llm import Pass, span
from attnlab.impls.generate._engine.attention import CachedAttention
from attnlab.impls.generate._engine.decoder import Attend, Decoder
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.passes import ForwardPass, finish_pass, log_of
from attnlab.impls.generate._engine.sequence import PrefillChunk, Sequence

ROW_MULTIPLE = 16  # to which a pass with a chunk is padded, so that the decoder is set up for few lengths


class PagedEngine:
    """A decoder over one pool of pages; which sequence has which of them is said anew for every pass.

    spare_rows: sequences, and pages, that there is memory for beyond the case's. logs_passes: whether passes are kept
    for `passes`; a server, which runs for ever, keeps none.
    """

    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts, spare_rows: int = 0) -> None:
        dtype, device = weights.dtype, weights.device
        self.sequences, self.context_tokens = case.batch, case.total
        self.logs_passes = True
        self.pages = case.pages or case.batch * case.placing.pages_for(case.total)
        self.decoder = Decoder(weights, parts, case.total + ROW_MULTIPLE)
        rows, pages = case.batch + spare_rows, self.pages + spare_rows
        self.caches = KVCaches(weights.config, case.placing, case.format, dtype, device, rows, case.total, pages)
        self.attention = CachedAttention(weights.config, parts, self.caches, [w.sinks for w in weights.layers])
        self._passes: list[ForwardPass] = []

    def reset(self) -> None:
        """Forget every pass."""
        self._passes = []

    def set_up(self, chunk_tokens: int) -> None:
        """Make ready for passes of every shape: of chunks of so many tokens at most, and of answers alone."""
        for rows in range(ROW_MULTIPLE, chunk_tokens + self.sequences + ROW_MULTIPLE, ROW_MULTIPLE):
            self.decoder.kernels.of_shape(1, rows)
        for rows in range(1, self.sequences + 1):
            self.decoder.kernels.of_shape(1, rows)
            self.decoder.kernels.of_head(rows)

    def forward(self, sequences: abc.Sequence[Sequence], chunk: PrefillChunk | None) -> Tensor:
        """Compute the last token of each running sequence, and a chunk, in one pass that reads the weights once.

        -> logits [B, V] after the last token of each sequence, and of the chunk as the last row where there is one.
        """
        start_ns = time.perf_counter_ns()
        stretches = [(sequence.token_ids[-1:], sequence.computed_tokens) for sequence in sequences]
        if chunk is not None:
            stretches.append((chunk.token_ids, chunk.start))
        new = [len(token_ids) for token_ids, _ in stretches]
        lengths = [start + len(token_ids) for token_ids, start in stretches]
        ids = [token for token_ids, _ in stretches for token in token_ids]
        positions = [start + place for token_ids, start in stretches for place in range(len(token_ids))]
        padding = 0 if chunk is None else -len(ids) % ROW_MULTIPLE
        rows = torch.tensor([[*ids, *[0] * padding], [*positions, *[0] * padding]], device=self._device)
        last = [*range(len(sequences)), *([] if chunk is None else [len(ids) - 1])]
        kind = "decode" if chunk is None else "prefill"
        with span(kind):
            hidden = self.decoder.hidden_states(rows[:1], rows[1:], self._attend(sequences, chunk, padding))
            logits = self.decoder.logits(hidden[:, last])[0]
        made = finish_pass(kind, start_ns, self._device, len(ids), lengths, new)
        if self.logs_passes:
            self._passes.append(made)
        return logits

    def _attend(self, sequences: abc.Sequence[Sequence], chunk: PrefillChunk | None, padding: int) -> Attend:
        """Over rows [1, S, H, D]: a token of each sequence, then the chunk, then the padding."""
        count = len(sequences)
        decode = self._attend_decode(sequences) if sequences else None
        prefill = None if chunk is None else self._attend_prefill(chunk)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            outs = []
            if decode is not None:
                outs.append(decode(layer, *(x[0, :count, None] for x in (q, k, v))).transpose(0, 1))
            if prefill is not None:
                outs.append(prefill(layer, *(x[:, count : x.shape[1] - padding] for x in (q, k, v))))
            if padding:
                outs.append(q[:, -padding:])
            return torch.cat(outs, 1)

        return attend

    def _attend_decode(self, sequences: abc.Sequence[Sequence]) -> Attend:
        lengths = [sequence.computed_tokens + 1 for sequence in sequences]
        view = self.caches.view([sequence.block_table for sequence in sequences], lengths)
        attention = self.attention.over(view)
        plan = attention.plan(1, lengths)
        return partial(attention.decode, plan, plan.starts)

    def _attend_prefill(self, chunk: PrefillChunk) -> Attend:
        view = self.caches.view([chunk.sequence.block_table], [chunk.stop])
        attention, starts = self.attention.over(view), view.lengths - (chunk.stop - chunk.start)
        return partial(attention.prefill_chunk, starts, chunk.stop)

    def passes(self) -> list[Pass]:
        """What was run since `reset`, with the bytes that each pass had to read."""
        return log_of(self._passes, self.decoder.weights, self.caches.layout, self.caches.format)

    @property
    def _device(self) -> torch.device:
        return self.decoder.device
