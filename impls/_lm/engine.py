"""Runs a model over a batch of sequences: prompts, then steps of one or several tokens, with a log of its passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.caches import Format, Layout
from attnlab.bench.generation.cost import cache_bytes, pass_bytes
from attnlab.bench.generation.events import Pass
from attnlab.bench.models.weights import ModelWeights
from attnlab.impls._lm.decoder import Decoder
from attnlab.impls._lm.memory import Memory, Plan
from attnlab.impls._lm.parts import Parts


@dataclass(frozen=True)
class Ran:
    """One pass as it was timed: its kind, what it took, rows that went in, and tokens of each sequence after it."""

    kind: str
    elapsed_ns: float
    rows: int
    lengths: tuple[int, ...]
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


class Engine:
    """A decoder with its caches for `batch` sequences of at most `capacity` tokens.

    graphs: on CUDA, steps of one token are captured once and replayed; parts must then read lengths on the device.
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
    ) -> None:
        self.decoder = Decoder(weights, parts, capacity)
        self.memory = Memory(
            weights.config, parts, layout, format, weights.dtype, weights.device, batch, capacity
        )  # fmt: skip
        self.batch, self.capacity = batch, capacity
        self.lengths: list[int] = [0] * batch
        self.ran: list[Ran] = []
        self._graph = _Graph(self) if graphs and weights.device.type == "cuda" else None

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    def begin(self) -> None:
        """Forget every sequence and pass."""
        self.lengths = [0] * self.batch
        self.ran = []

    def prompt(self, ids: Tensor, kind: str = "prefill") -> Tensor:
        """Read prompts [B, P] int64 from the beginning -> logits [B, V] after their last token."""
        start = time.perf_counter_ns()
        positions = torch.arange(ids.shape[1], device=self.device).expand(ids.shape)
        self.memory.set_lengths([ids.shape[1]] * self.batch)
        hidden = self.decoder.hidden(ids.to(self.device), positions, self.memory.attend_prompt)
        logits = self.decoder.logits(hidden[:, -1:])[:, 0]
        self.lengths = [ids.shape[1]] * self.batch
        self._note(kind, start, ids.numel())
        return logits

    def step(self, ids: Tensor, kind: str = "decode") -> Tensor:
        """Read S tokens more of every sequence, ids [B, S] -> logits [B, S, V] after each of them."""
        start = time.perf_counter_ns()
        lengths = [length + ids.shape[1] for length in self.lengths]
        if self._graph is not None and ids.shape[1] == 1:
            logits = self._graph.replay(ids, self.lengths)
        else:
            self.memory.set_lengths(lengths)
            logits = self.body(ids.to(self.device), self.memory.plan(ids.shape[1], lengths))
        self.lengths = lengths
        self._note(kind, start, ids.numel())
        return logits

    def body(self, ids: Tensor, plan: Plan) -> Tensor:
        """A pass over the cache, whose lengths count the new tokens: nothing in it is read on the host."""
        memory, new = self.memory, ids.shape[1]
        starts = memory.lengths - new
        positions = starts[:, None].long() + torch.arange(new, device=ids.device)
        hidden = self.decoder.hidden(
            ids, positions, lambda layer, q, k, v: memory.attend(plan, starts, layer, q, k, v)
        )  # fmt: skip
        return self.decoder.logits(hidden)

    def rewind(self, lengths: Sequence[int]) -> None:
        """Take tokens back: sequences are so long now."""
        self.lengths = list(lengths)

    def passes(self) -> list[Pass]:
        """What `begin` and all since have run, with the bytes that each had to read."""
        return passes_of(self.ran, self.decoder, self.memory)

    def _note(self, kind: str, start_ns: int, rows: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.ran.append(Ran(kind, float(time.perf_counter_ns() - start_ns), rows, tuple(self.lengths)))


def passes_of(ran: Sequence[Ran], decoder: Decoder, memory: Memory) -> list[Pass]:
    """Passes with the bytes that each had to read: the weights, and the tokens in the cache."""
    config, dtype = decoder.config, decoder.dtype
    weights = pass_bytes(config, dtype)
    return [
        Pass(
            p.kind, p.elapsed_ns,
            float(weights + cache_bytes(config, memory.layout, memory.format, dtype, list(p.lengths))),
            p.rows, p.drafted, p.accepted,
        )
        for p in ran
    ]  # fmt: skip


class _Graph:
    """A step of one token, captured at its first use, when the kernels are compiled, and replayed from then on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids = torch.zeros(engine.batch, 1, dtype=torch.int64, device=engine.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = self._ids

    def replay(self, ids: Tensor, lengths: Sequence[int]) -> Tensor:
        """Logits [B, 1, V], which the next replay overwrites; lengths are those before the step."""
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._engine.memory.set_lengths([length + 1 for length in lengths])
        self._ids.copy_(ids)
        self._graph.replay()
        return self._logits

    def _capture(self) -> None:
        engine = self._engine
        engine.memory.set_lengths([1] * engine.batch)
        plan = engine.memory.plan(1, [engine.capacity] * engine.batch)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                engine.body(self._ids, plan)  # compiles, and lets libraries take their workspaces
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = engine.body(self._ids, plan)
