"""vLLM's offline class and the engine below it: a token a step for each request that runs, by the plain decoder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.reference import reference_logits

__version__ = "0.33.0"
made: list[LLM] = []


@dataclass(frozen=True)
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    detokenize: bool = True


@dataclass(frozen=True)
class CompletionOutput:
    token_ids: list[int]


@dataclass(frozen=True)
class RequestOutput:
    request_id: str
    outputs: list[CompletionOutput]


@dataclass
class Request:
    request_id: str
    prompt: list[int]
    params: SamplingParams
    answer: list[int] = field(default_factory=list)


class LLMEngine:
    def __init__(self, folder: str, dtype: str, max_num_seqs: int) -> None:
        self.weights = load_model(folder, getattr(torch, dtype))
        self.most, self.most_together = max_num_seqs, 0
        self.waiting: list[Request] = []

    def add_request(self, request_id: str, prompt: Mapping[str, list[int]], params: SamplingParams) -> str:
        assert params.ignore_eos
        assert not params.detokenize, "there is no tokenizer"
        self.waiting.append(Request(request_id, prompt["prompt_token_ids"], params))
        return request_id

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def step(self) -> list[RequestOutput]:
        running = self.waiting[: self.most]
        self.most_together = max(self.most_together, len(running))
        for request in running:
            logits = reference_logits(self.weights, torch.tensor([request.prompt + request.answer]), last=1)[0, -1]
            request.answer.append(int(logits.argmax()))
        self.waiting = [request for request in self.waiting if len(request.answer) != request.params.max_tokens]
        return [RequestOutput(request.request_id, [CompletionOutput(list(request.answer))]) for request in running]


class LLM:
    def __init__(
        self,
        model: str,
        *,
        skip_tokenizer_init: bool = False,
        dtype: str = "auto",
        gpu_memory_utilization: float = 0.92,
        kv_cache_memory_bytes: int | None = None,
        max_model_len: int | None = None,
        max_num_seqs: int = 256,
        block_size: int | None = None,
        enable_prefix_caching: bool | None = None,
    ) -> None:
        self.asked = dict(locals())
        self.in_process = os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0"
        assert Path(model, "config.json").is_file()
        assert skip_tokenizer_init
        self.llm_engine = LLMEngine(model, dtype, max_num_seqs)
        made.append(self)
