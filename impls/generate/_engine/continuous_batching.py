"""Continuous batching: the requests of a call join the live engine as they come."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import AttnlabError, GenerateCase, ModelWeights
from attnlab.bench.llm import LiveRequest, Recorder
from attnlab.impls.generate._engine.batching import Batching
from attnlab.impls.generate._engine.continuous_limits import require_any_length, require_fixed_tokens
from attnlab.impls.generate._engine.live_engine import CHUNK_TOKENS, PagedLiveEngine
from attnlab.impls.generate._engine.paged_engine import PagedEngine
from attnlab.impls.generate._engine.parts import Parts


class ContinuousBatching(Batching):
    """Serves requests as they come: every pass computes a chunk of one prompt and a token of every answer."""

    def __init__(
        self, case: GenerateCase, weights: ModelWeights, parts: Parts, chunk_tokens: int = CHUNK_TOKENS
    ) -> None:
        require_fixed_tokens(case)
        require_any_length(parts)
        self.case, self.parts, self.chunk_tokens = case, parts, chunk_tokens
        self.engine = PagedEngine(case, weights, parts)

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        """int64 [R, N] on the CPU; each call begins with an empty pool."""
        self.engine.reset()
        live = PagedLiveEngine(self.engine, self.parts, self.chunk_tokens)
        answers: list[list[int]] = [[] for _ in range(recorder.requests)]
        coming = 0  # the first that has not come yet
        while coming < recorder.requests or not live.idle:
            if live.idle:
                recorder.wait_for(coming)
            while coming < recorder.requests and recorder.due(coming):
                live.add(self._asked(recorder, coming, seed))
                coming += 1
            for event in live.step():
                if event.failure is not None:
                    raise AttnlabError(event.failure)
                if event.beginning is not None:
                    recorder.first_sample(event.id, event.beginning.sampling_ns)
                if recorder.evidence is not None:
                    recorder.evidence.tell_logs(event.id, [one.log for one in event.likelihoods])
                recorder.arrived(event.id, event.token_ids)
                answers[event.id].extend(event.token_ids)
        for one in self.engine.passes():
            recorder.ran(one)
        recorder.count("cache", float(self.engine.caches.nbytes))
        recorder.count("preemptions", float(live.scheduler.preemptions))
        recorder.count("reused_tokens", float(live.scheduler.reused_tokens))
        recorder.count("used_pages_peak", float(live.scheduler.used_pages_peak))
        return torch.tensor(answers)

    def _asked(self, recorder: Recorder, request: int, seed: int) -> LiveRequest:
        """A request of the case: no token ends its answer, and it draws by the call's seed and its own number."""
        return LiveRequest(
            id=request,
            prompt_ids=recorder.prompt(request),
            max_tokens=self.case.new_tokens,
            params=self.case.decoding.params,
            seed=seed,
            draw=request,
            logprobs=None if recorder.evidence is None else 0,
        )
