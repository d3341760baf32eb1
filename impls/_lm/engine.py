"""Runs a model over a batch of sequences: prompts, then steps of one or several tokens, with a log of its passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench import ModelWeights, cache_bytes, pass_bytes
from attnlab.bench.llm import Format, Layout, Pass
from attnlab.impls._lm.decoder import Decoder
from attnlab.impls._lm.memory import Memory, Plan
from attnlab.impls._lm.parts import Parts


@dataclass(frozen=True)
class Ran:
    """One pass as it was timed: its kind, what it took, rows that went in, and tokens of each sequence after it.

    new: how many of a sequence's tokens the pass read.
    """

    kind: str
    elapsed_ns: float
    rows: int
    lengths: tuple[int, ...]
    new: tuple[int, ...]
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    begun_ns: int = 0  # by the clock, so that passes of several engines can be put in order


class Engine:
    """A decoder, made here or another engine's, with caches for `batch` sequences of at most `capacity` tokens.

    graphs: on CUDA, steps are captured once for each number of tokens and replayed; parts must then read lengths on
    the device. beside: engines of other models that work for this one, whose passes and caches count with its own.
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
        self.decoder = decoder or Decoder(weights, parts, capacity)
        self.memory = Memory(
            weights.config, parts, layout, format, weights.dtype, weights.device, batch, capacity
        )  # fmt: skip
        self.batch, self.capacity, self.graphs = batch, capacity, graphs
        self.lengths: list[int] = [0] * batch
        self.ran: list[Ran] = []
        self.beside: list[Engine] = []
        self._graphs: dict[int, _Graph] | None = {} if graphs and weights.device.type == "cuda" else None

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    @property
    def cache_nbytes(self) -> int:
        """Of its own caches and of those beside."""
        return self.memory.nbytes + sum(other.cache_nbytes for other in self.beside)

    def begin(self) -> None:
        """Forget every sequence and pass."""
        self.lengths = [0] * self.batch
        self.ran = []
        for other in self.beside:
            other.begin()

    def set_up(self, prompt_len: int, *new: int, prompts: int | None = None) -> None:
        """Make ready for prompts of that length and steps of so many tokens, so that no call has to.

        prompts: how many are read together, as many as there are sequences where left out.
        """
        for rows in (prompt_len, 1):
            self.decoder.stage(prompts or self.batch, rows)
        for tokens in new:
            self.decoder.stage(self.batch, tokens)
            if self._graphs is not None:
                self._graph(tokens)

    def _graph(self, new: int) -> _Graph:
        assert self._graphs is not None
        if new not in self._graphs:
            self._graphs[new] = _Graph(self, new)
        return self._graphs[new]

    def prompt(self, ids: Tensor, kind: str = "prefill") -> Tensor:
        """Read prompts [B, P] int64 from the beginning -> logits [B, V] after their last token.

        One prompt [1, P] is read once, and stands in every sequence.
        """
        start = time.perf_counter_ns()
        positions = torch.arange(ids.shape[1], device=self.device).expand(ids.shape)
        self.memory.set_lengths([ids.shape[1]] * self.batch)
        hidden = self.decoder.hidden(ids.to(self.device), positions, self.memory.attend_prompt, last=True)
        logits = self.decoder.logits(hidden)[:, 0]
        self.lengths = [ids.shape[1]] * self.batch
        self._note(kind, start, ids)
        return logits

    def step(self, ids: Tensor, kind: str = "decode") -> Tensor:
        """Read S tokens more of every sequence, ids [B, S] -> logits [B, S, V] after each of them."""
        start = time.perf_counter_ns()
        lengths = [length + ids.shape[1] for length in self.lengths]
        if self._graphs is not None:
            logits = self._graph(ids.shape[1]).replay(ids, self.lengths)
        else:
            self.memory.set_lengths(lengths)
            logits = self.body(ids.to(self.device), self.memory.plan(ids.shape[1], lengths))
        self.lengths = lengths
        self._note(kind, start, ids)
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

    def judged(self, drafted: Sequence[int], accepted: Sequence[int]) -> None:
        """How many guesses of each sequence the last pass was to judge, and how many of them stood."""
        self.ran[-1] = replace(self.ran[-1], drafted=tuple(drafted), accepted=tuple(accepted))

    def passes(self) -> list[Pass]:
        """What was run since `begin`, here and beside, in its order, with the bytes that each pass had to read."""
        made = [
            (ran.begun_ns, a_pass)
            for engine in (self, *self.beside)
            for ran, a_pass in zip(engine.ran, passes_of(engine.ran, engine.decoder, engine.memory), strict=True)
        ]
        return [a_pass for _, a_pass in sorted(made, key=lambda timed: timed[0])]

    def _note(self, kind: str, start_ns: int, ids: Tensor) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elapsed_ns = float(time.perf_counter_ns() - start_ns)
        new = (ids.shape[1],) * self.batch
        self.ran.append(Ran(kind, elapsed_ns, ids.numel(), tuple(self.lengths), new, begun_ns=start_ns))


def passes_of(ran: Sequence[Ran], decoder: Decoder, memory: Memory) -> list[Pass]:
    """Passes with the bytes that each had to read: the weights, and the tokens in the cache."""
    config, dtype = decoder.config, decoder.dtype
    weights = pass_bytes(config, dtype)
    return [
        Pass(
            p.kind, p.elapsed_ns,
            float(weights + cache_bytes(config, memory.layout, memory.format, dtype, p.lengths, p.new)),
            p.rows, p.drafted, p.accepted,
        )
        for p in ran
    ]  # fmt: skip


class _Graph:
    """A step of `new` tokens a sequence, captured once and replayed."""

    def __init__(self, engine: Engine, new: int) -> None:
        self._memory, self._new = engine.memory, new
        self._ids = torch.zeros(engine.batch, new, dtype=torch.int64, device=engine.device)
        self._memory.set_lengths([engine.capacity] * engine.batch)  # writes where no token of a request ever is
        plan = self._memory.plan(new, [engine.capacity] * engine.batch)
        self._plan = plan  # parts may work in memory of their own, which must outlive the plans that are kept
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                engine.body(self._ids, plan)  # compiles, and lets libraries take their workspaces
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = engine.body(self._ids, plan)

    def replay(self, ids: Tensor, lengths: Sequence[int]) -> Tensor:
        """Logits [B, new, V], which the next replay overwrites; lengths are those before the step."""
        self._memory.set_lengths([length + self._new for length in lengths])
        self._ids.copy_(ids)
        self._graph.replay()
        return self._logits
