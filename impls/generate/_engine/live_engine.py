"""The live engine over one pool of pages: requests join and leave between passes.

Technique: Orca (Yu et al., 2022) for scheduling by iterations, vLLM (Kwon et al., 2023) for pages, Sarathi (Agrawal et
al., 2023) for prompts in chunks that share a pass with the answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from attnlab.bench import SamplingParams
from attnlab.bench.llm import Beginning, FinishReason, LiveCounters, LiveEvent, LiveLimits, LiveRequest
from attnlab.impls.generate._engine.block_manager import BlockManager
from attnlab.impls.generate._engine.paged_engine import PagedEngine
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.scheduler import Scheduler
from attnlab.impls.generate._engine.token_chooser import Answer, Choice, TokenChooser

CHUNK_TOKENS = 64  # of a prompt in one pass: they hold up all that run
TRIAL_TOKENS = 1  # of the answer that is made before the first request


class PagedLiveEngine:
    """A `LiveEngine`: every step is a pass over a chunk of one prompt and a token of every answer."""

    def __init__(self, engine: PagedEngine, parts: Parts, chunk_tokens: int = CHUNK_TOKENS) -> None:
        page_tokens = engine.caches.layout.tokens_a_page(engine.context_tokens)
        self.engine, self.parts, self.chunk_tokens = engine, parts, chunk_tokens
        self.limits = LiveLimits(engine.context_tokens, engine.sequences, engine.pages, page_tokens)
        self.scheduler = Scheduler(BlockManager(engine.pages), page_tokens, engine.sequences)
        self._chooser = TokenChooser(parts)
        self._answers: dict[int, Answer] = {}
        self._prompt_tokens = self._cached_tokens = self._answer_tokens = 0

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    @property
    def counters(self) -> LiveCounters:
        waiting = len(self.scheduler.waiting)
        return LiveCounters(
            running=len(self._answers) - waiting,
            waiting=waiting,
            used_pages=self.scheduler.block_manager.used_pages,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            answer_tokens=self._answer_tokens,
            preemptions=self.scheduler.preemptions,
        )

    def set_up(self) -> None:
        self.engine.set_up(self.chunk_tokens)
        trial = PagedLiveEngine(self.engine, self.parts, self.chunk_tokens)  # its pages are known to nobody afterwards
        most = min(self.limits.context_tokens - TRIAL_TOKENS, self.chunk_tokens)
        trial.add(LiveRequest(0, [0] * most, TRIAL_TOKENS, SamplingParams(temperature=0.0)))
        while not trial.idle:
            trial.step()

    def add(self, request: LiveRequest) -> None:
        sequence = self.scheduler.add(request.id, request.prompt_ids, request.max_tokens)
        self._answers[request.id] = Answer(request, sequence, time.perf_counter_ns())

    def cancel(self, id: int) -> None:
        answer = self._answers.pop(id, None)
        if answer is not None:
            self.scheduler.remove(answer.sequence)

    def step(self) -> Sequence[LiveEvent]:
        """One pass: a token of every answer, and a chunk of one prompt where there is room for it."""
        sequences = self.scheduler.next_decode()
        chunk = self.scheduler.next_prefill(self.chunk_tokens)
        if chunk is None and not sequences:
            return ()
        if chunk is not None:
            first = self._answers[chunk.sequence.request]
            first.computed_ns = first.computed_ns or time.perf_counter_ns()
        logits = self.engine.forward(sequences, chunk)
        self.scheduler.finish_decode(sequences)
        if chunk is not None:
            self.scheduler.finish_prefill(chunk)
        if chunk is not None and chunk.last:
            sequences = [*sequences, chunk.sequence]
        if not sequences:
            return ()
        start_ns = time.perf_counter_ns()
        answers = [self._answers[sequence.request] for sequence in sequences]
        choices = self._chooser.choose(answers, logits[: len(answers)])
        sampling_ns = time.perf_counter_ns() - start_ns
        chosen = zip(answers, choices, strict=True)
        return [self._event(answer, choice, start_ns, sampling_ns) for answer, choice in chosen]

    def _event(self, answer: Answer, choice: Choice, start_ns: int, sampling_ns: int) -> LiveEvent:
        """What a choice means for its answer, which goes on or leaves."""
        asked, sequence = answer.request, answer.sequence
        if choice.failure is not None:
            self.cancel(asked.id)
            return LiveEvent(asked.id, finish_reason=FinishReason.FAILED, failure=choice.failure)
        beginning = None if sequence.output_tokens else self._beginning(answer, start_ns, sampling_ns)
        self._answer_tokens += 1
        self.scheduler.append_token(sequence, choice.token)
        reason = None
        if choice.token in asked.stop_ids or (asked.mask is not None and asked.mask.ended):
            reason = FinishReason.STOP
        elif sequence.output_tokens == asked.max_tokens:
            reason = FinishReason.LENGTH
        if reason is not None:
            del self._answers[asked.id]
            if sequence.output_tokens < asked.max_tokens:  # it has not left by itself
                self.scheduler.remove(sequence)
        likelihoods = () if choice.likelihood is None else (choice.likelihood,)
        return LiveEvent(asked.id, (choice.token,), reason, likelihoods, beginning)

    def _beginning(self, answer: Answer, start_ns: int, sampling_ns: int) -> Beginning:
        computed_ns, cached = answer.computed_ns or start_ns, answer.sequence.cached_tokens or 0
        self._prompt_tokens += answer.sequence.prompt_tokens
        self._cached_tokens += cached
        waited_ns, prefill_ns = computed_ns - answer.added_ns, start_ns - computed_ns
        return Beginning(cached, float(waited_ns), float(prefill_ns), float(sampling_ns))
