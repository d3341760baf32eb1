"""Continuous batching: requests join and leave between passes, and share the pages of one pool.

Technique: Orca (Yu et al., 2022) for scheduling by iterations, vLLM (Kwon et al., 2023) for pages, Sarathi (Agrawal et
al., 2023) for prompts in chunks that share a pass with the answers.
"""

from __future__ import annotations

import time
from collections import abc

import torch
from torch import Tensor

from attnlab.bench import GenerateCase, ModelWeights, Unavailable
from attnlab.bench.llm import Recorder
from attnlab.impls.generate._engine.batching import Batching
from attnlab.impls.generate._engine.block_manager import BlockManager
from attnlab.impls.generate._engine.paged_engine import PagedEngine
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.sampler import Sampler, pad_rows
from attnlab.impls.generate._engine.scheduler import Scheduler
from attnlab.impls.generate._engine.sequence import Sequence

CHUNK_TOKENS = 64  # of a prompt in one pass: they hold up all that run


class ContinuousBatching(Batching):
    """Serves requests as they come: every pass computes a chunk of one prompt and a token of every answer."""

    def __init__(
        self, case: GenerateCase, weights: ModelWeights, parts: Parts, chunk_tokens: int = CHUNK_TOKENS
    ) -> None:
        _require_fixed_tokens(case)
        _require_any_length(parts)
        self.case, self.parts, self.chunk_tokens = case, parts, chunk_tokens
        self.engine = PagedEngine(case, weights, parts)

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        """int64 [R, N] on the CPU."""
        self.engine.reset()
        loop = _ServingLoop(self, recorder, Sampler(self.case.decoding.params, self.parts, seed))
        loop.run()
        for one in self.engine.passes():
            recorder.ran(one)
        recorder.count("cache", float(self.engine.caches.nbytes))
        recorder.count("preemptions", float(loop.scheduler.preemptions))
        recorder.count("reused_tokens", float(loop.scheduler.reused_tokens))
        recorder.count("used_pages_peak", float(loop.scheduler.used_pages_peak))
        return torch.tensor(loop.answers)


class _ServingLoop:
    """One call: which requests have come, who is served next, and the answers so far."""

    def __init__(self, batching: ContinuousBatching, recorder: Recorder, sampler: Sampler) -> None:
        self.engine, self.recorder, self.sampler = batching.engine, recorder, sampler
        self.chunk_tokens = batching.chunk_tokens
        case, new = batching.case, batching.case.new_tokens
        page_tokens = self.engine.caches.layout.page_tokens
        assert page_tokens is not None
        self.scheduler = Scheduler(BlockManager(self.engine.pages), page_tokens, case.batch, new)
        self.uniforms = [sampler.uniforms(request, new) for request in range(recorder.requests)]
        self.answers: list[list[int]] = [[] for _ in range(recorder.requests)]
        self.next_request = 0  # that has not come yet

    def run(self) -> None:
        while self.next_request < self.recorder.requests or not self.scheduler.idle:
            if self.scheduler.idle:
                self.recorder.wait_for(self.next_request)
            while self.next_request < self.recorder.requests and self.recorder.due(self.next_request):
                self.scheduler.add(self.next_request, self.recorder.prompt(self.next_request))
                self.next_request += 1
            self._step()

    def _step(self) -> None:
        """One pass: a token of every answer, and a chunk of one prompt where there is room for it."""
        sequences = self.scheduler.next_decode()
        chunk = self.scheduler.next_prefill(self.chunk_tokens)
        if chunk is None and not sequences:
            return  # woken a little too early
        logits = self.engine.forward(sequences, chunk)
        self.scheduler.finish_decode(sequences)
        if chunk is not None:
            self.scheduler.finish_prefill(chunk)
        if chunk is not None and chunk.last:
            sequences = [*sequences, chunk.sequence]
        self._sample(sequences, logits[: len(sequences)])

    def _sample(self, sequences: abc.Sequence[Sequence], logits: Tensor) -> None:
        """The next token of each sequence from its row of logits [B, V]; its numbers are its own in whatever batch."""
        if not sequences:
            return
        start_ns = time.perf_counter_ns()
        uniforms = torch.stack([self.uniforms[sequence.request][sequence.output_tokens] for sequence in sequences])
        seen = pad_rows([sequence.token_ids for sequence in sequences]) if self.sampler.params.penalises else None
        ids = self.sampler.sample(logits, uniforms, None if seen is None else seen.to(logits.device)).tolist()
        elapsed_ns = float(time.perf_counter_ns() - start_ns)
        for row, (sequence, token) in enumerate(zip(sequences, ids, strict=True)):
            request = sequence.request
            if self.recorder.evidence is not None:
                self.recorder.evidence.tell(request, logits[row : row + 1], [token])
            if not sequence.output_tokens:
                self.recorder.first_sample(request, elapsed_ns)
            self.recorder.arrived(request, [token])
            self.answers[request].append(token)
            self.scheduler.append_token(sequence, token)


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
        implementation = parts.implementation(part)
        if implementation.compiled:
            raise Unavailable(
                f"part {part} {implementation.name} is not served in continuous batching: it compiles for each length"
            )
