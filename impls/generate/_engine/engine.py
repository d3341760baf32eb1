"""Runs a model over a batch of sequences: prefill, then passes of one or several tokens each, with a log of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attnlab.bench import ModelWeights
from attnlab.bench.llm import Format, Layout, Pass, span
from attnlab.impls.generate._engine.attention import AttentionPlan, CachedAttention
from attnlab.impls.generate._engine.cuda_graph import DecodeGraph
from attnlab.impls.generate._engine.decoder import Decoder
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate._engine.native_layers import LayersAtOnce, layers_at_once
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.passes import ForwardPass, finish_pass, log_of


class Engine:
    """A decoder, made here or another engine's, with caches for `batch` sequences of at most `capacity` tokens.

    graphs: on CUDA, decode passes are captured once for each number of tokens and replayed; parts must then read
    lengths on the device. draft_engines: of other models that draft for this one, whose passes and caches count with
    its own.
    """

    def __init__(
        self,
        weights: ModelWeights,
        parts: Parts,
        layout: Layout,
        format: Format,
        batch: int,
        capacity: int,
        graphs: bool = False,
        decoder: Decoder | None = None,
    ) -> None:
        dtype, device = weights.dtype, weights.device
        self.decoder = decoder or Decoder(weights, parts, capacity)
        self.caches = KVCaches(weights.config, layout, format, dtype, device, batch, capacity)
        self.attention = CachedAttention(weights.config, parts, self.caches, [w.sinks for w in weights.layers])
        self.batch, self.capacity, self.graphs = batch, capacity, graphs
        self.lengths: list[int] = [0] * batch
        self.draft_engines: list[Engine] = []
        self._passes: list[ForwardPass] = []
        self._waits: list[tuple[int, Pass]] = []
        self._at_once: dict[int, LayersAtOnce | None] = {}
        self._graphs: dict[int, DecodeGraph] | None = {} if graphs and device.type == "cuda" else None

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    @property
    def cache_nbytes(self) -> int:
        """Of its own caches and of those of engines that draft for it."""
        return self.caches.nbytes + sum(other.cache_nbytes for other in self.draft_engines)

    def reset(self) -> None:
        """Forget every sequence and pass."""
        self.lengths = [0] * self.batch
        self._passes, self._waits = [], []
        for other in self.draft_engines:
            other.reset()

    def set_up(self, prompt_len: int, *new: int, prompts: int | None = None) -> None:
        """Make ready for prompts of that length and decode passes of so many tokens, so that no call has to.

        prompts: how many are prefilled together, as many as there are sequences where left out.
        """
        for rows in (prompt_len, 1):
            self.decoder.kernels.of_shape(prompts or self.batch, rows)
        for tokens in new:
            self.decoder.kernels.of_shape(self.batch, tokens)
            self._layers_at_once(tokens)
            if self._graphs is not None:
                self._graph(tokens)

    def prefill(self, ids: Tensor, kind: str = "prefill") -> Tensor:
        """Compute prompts [B, P] int64 from the beginning -> logits [B, V] after their last token.

        One prompt [1, P] is computed once, and stands in every sequence.
        """
        start_ns = time.perf_counter_ns()
        positions = torch.arange(ids.shape[1], device=self.device).expand(ids.shape)
        lengths = [ids.shape[1]] * self.batch
        self.caches.set_lengths(lengths)
        with span(kind):
            hidden = self.decoder.hidden_states(ids.to(self.device), positions, self.attention.prefill, last=True)
            logits = self.decoder.logits(hidden)[:, 0]
        self.lengths = lengths
        self._passes.append(finish_pass(kind, start_ns, self.device, ids.numel(), lengths, new=lengths))
        return logits

    def decode(self, ids: Tensor, kind: str = "decode") -> Tensor:
        """Compute S tokens more of every sequence, ids [B, S] -> logits [B, S, V] after each of them."""
        start_ns, new = time.perf_counter_ns(), ids.shape[1]
        lengths = [length + new for length in self.lengths]
        with span(kind):
            if self._graphs is not None:
                logits = self._graph(new).replay(ids, lengths)
            else:
                self.caches.set_lengths(lengths)
                logits = self._pass(ids.to(self.device), lengths)
        self.lengths = lengths
        self._passes.append(finish_pass(kind, start_ns, self.device, ids.numel(), lengths, [new] * self.batch))
        return logits

    def verify(self, ids: Tensor) -> Tensor:
        """Compute the last token of every sequence and the draft tokens behind it, ids [B, 1 + K] -> [B, 1 + K, V]."""
        return self.decode(ids, "verify")

    def note_acceptance(self, drafted: Sequence[int], accepted: Sequence[int]) -> None:
        """How many draft tokens of each sequence the last pass was to verify, and how many of them were accepted."""
        self._passes[-1] = replace(self._passes[-1], drafted=tuple(drafted), accepted=tuple(accepted))

    def wait(self, elapsed_ns: float) -> None:
        """Do nothing for so long, as if a draft computed a token more of every sequence; it is logged as its pass."""
        start_ns = time.perf_counter_ns()
        while (passed_ns := time.perf_counter_ns() - start_ns) < elapsed_ns:
            pass
        self._waits.append((start_ns, Pass("draft", float(passed_ns), 0.0, self.batch)))

    def rewind(self, lengths: Sequence[int]) -> None:
        """Take tokens back: sequences are so long now."""
        self.lengths = list(lengths)

    def passes(self) -> list[Pass]:
        """What was run since `reset`, here and by engines that draft, in its order, with the bytes that each read."""
        log = [
            (one.start_ns, entry)
            for engine in (self, *self.draft_engines)
            for one, entry in zip(engine._passes, engine._log(), strict=True)
        ]
        return [entry for _, entry in sorted((*log, *self._waits), key=lambda timed: timed[0])]

    def _log(self) -> list[Pass]:
        return log_of(self._passes, self.decoder.weights, self.caches.layout, self.caches.format)

    def _pass(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """A pass over the caches, with all layers in one call where our kernels in C serve them."""
        layers = self._layers_at_once(ids.shape[1])
        if layers is None:
            return self._forward(ids, self.attention.plan(ids.shape[1], lengths))
        x = self.decoder.embedded(ids)
        with span("layers: native"):
            layers(x, self.caches.lengths, max(lengths))
        return self.decoder.logits(x.view(*ids.shape, -1))

    def _layers_at_once(self, new: int) -> LayersAtOnce | None:
        if new not in self._at_once:
            self._at_once[new] = layers_at_once(self.decoder, self.attention.parts, self.caches, self.batch, new)
        return self._at_once[new]

    def _forward(self, ids: Tensor, plan: AttentionPlan) -> Tensor:
        """A pass over the caches, whose lengths count the new tokens: nothing in them is read on the host."""
        new = ids.shape[1]
        starts = self.caches.lengths - new
        positions = starts[:, None].long() + torch.arange(new, device=ids.device)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return self.attention.decode(plan, starts, layer, q, k, v)

        return self.decoder.logits(self.decoder.hidden_states(ids, positions, attend))

    def _graph(self, new: int) -> DecodeGraph:
        assert self._graphs is not None
        if new not in self._graphs:
            self._graphs[new] = DecodeGraph(self._forward, self.attention, new)
        return self._graphs[new]
