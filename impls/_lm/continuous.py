"""Continuous batching: requests join and leave between passes, and share the pages of one pool.

Technique: Orca (Yu et al., 2022) for scheduling by iterations, vLLM (Kwon et al., 2023) for pages, Sarathi (Agrawal et
al., 2023) for prompts in chunks that share a pass with the answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench import GenerateCase, ModelWeights, Unavailable
from attnlab.bench.llm import Recorder
from attnlab.impls._lm.pages import Pages
from attnlab.impls._lm.parts import Parts, find
from attnlab.impls._lm.pooled import PooledEngine
from attnlab.impls._lm.sampler import Sampler, padded
from attnlab.impls._lm.scheduler import Request, Scheduler
from attnlab.impls._lm.serving import Server

CHUNK = 64  # tokens of a prompt in one pass: they hold up all that run


class Continuous(Server):
    """Serves requests as they come: every pass reads a chunk of one prompt and a token of every answer."""

    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts, chunk: int = CHUNK) -> None:
        _require_fixed_tokens(case)
        _require_any_length(parts)
        self.case, self.parts, self.chunk = case, parts, chunk
        self.engine = PooledEngine(case, weights, parts)

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        """int64 [R, N] on the CPU."""
        self.engine.begin()
        call = _Call(self, recorder, Sampler(self.case.decoding.params, self.parts.sampling, seed))
        call.serve()
        for made in self.engine.passes():
            recorder.ran(made)
        recorder.count("cache", float(self.engine.memory.nbytes))
        recorder.count("preemptions", float(call.scheduler.preemptions))
        recorder.count("reused_tokens", float(call.scheduler.reused_tokens))
        recorder.count("used_pages_peak", float(call.scheduler.used_pages_peak))
        return torch.tensor(call.answers)


class _Call:
    """One call: which requests have come, who is served next, and the answers so far."""

    def __init__(self, server: Continuous, recorder: Recorder, sampler: Sampler) -> None:
        self.engine, self.recorder, self.sampler, self.chunk = server.engine, recorder, sampler, server.chunk
        case, new = server.case, server.case.new_tokens
        page_tokens = self.engine.memory.layout.page_tokens
        assert page_tokens is not None
        self.scheduler = Scheduler(Pages(self.engine.pages), page_tokens, case.batch, new)
        self.uniforms = [sampler.uniforms(request, new) for request in range(recorder.requests)]
        self.answers: list[list[int]] = [[] for _ in range(recorder.requests)]
        self.come = 0  # requests so far

    def serve(self) -> None:
        while self.come < self.recorder.requests or not self.scheduler.idle:
            if self.scheduler.idle:
                self.recorder.wait_for(self.come)
            while self.come < self.recorder.requests and self.recorder.due(self.come):
                self.scheduler.add(self.come, self.recorder.prompt(self.come))
                self.come += 1
            self._iterate()

    def _iterate(self) -> None:
        """One pass: a token of every answer, and a chunk of one prompt where there is room for it."""
        requests = self.scheduler.next_step()
        chunk = self.scheduler.next_chunk(self.chunk)
        if chunk is None and not requests:
            return  # woken a little too early
        logits = self.engine.run(chunk, requests)
        self.scheduler.was_run(requests)
        if chunk is not None:
            self.scheduler.was_read(chunk)
        if chunk is not None and chunk.last:
            requests = [*requests, chunk.request]
        self._choose(requests, logits[: len(requests)])

    def _choose(self, requests: Sequence[Request], logits: Tensor) -> None:
        """The next token of each request from its row of logits [B, V]; its numbers are its own in whatever batch."""
        if not requests:
            return
        begun = time.perf_counter_ns()
        uniforms = torch.stack([self.uniforms[request.number][request.produced] for request in requests])
        seen = padded([request.text for request in requests]) if self.sampler.params.penalises else None
        ids = self.sampler.choose(logits, uniforms, None if seen is None else seen.to(logits.device)).tolist()
        elapsed_ns = float(time.perf_counter_ns() - begun)
        for row, (request, token) in enumerate(zip(requests, ids, strict=True)):
            if self.recorder.evidence is not None:
                self.recorder.evidence.tell(request.number, logits[row : row + 1], [token])
            if not request.produced:
                self.recorder.first_sample(request.number, elapsed_ns)
            self.recorder.arrived(request.number, [token])
            self.answers[request.number].append(token)
            self.scheduler.chose(request, token)


def _require_fixed_tokens(case: GenerateCase) -> None:
    """Raise Unavailable for formats in which a stored token depends on others: a text would depend on its company."""
    if case.format.group > 1:
        raise Unavailable(
            f"cache {case.cache} is not served in continuous batching: it encodes {case.format.group} tokens together, "
            f"and again with each new one, so that a text would depend on where its chunks end; take int8_token"
        )
    codecs = case.format.keys, case.format.values
    if not all(spec.grows for codec in codecs for spec in codec.planes(case.config.head_dim, case.torch_dtype)):
        raise Unavailable(
            f"cache {case.cache} is not served in continuous batching: its scales are set once for all sequences, so "
            f"that a text would depend on which request came first; take int8_token"
        )


def _require_any_length(parts: Parts) -> None:
    """Raise Unavailable for parts that compile for each length, which is another one in every pass."""
    for part in ("prompt_attention", "attention", "append"):
        made = find(part, getattr(parts, part))
        if made.compiled:
            raise Unavailable(
                f"part {part} {made.name} is not served in continuous batching: it compiles for each length"
            )
