"""vLLM, its engine stepped in this process, on the same weights written to a folder for it."""

from __future__ import annotations

import importlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from attnlab.bench import (
    BATCHINGS,
    GenerateCase,
    GenerateInputs,
    GenerateOutputs,
    ModelWeights,
    Needs,
    SamplingParams,
    implements,
)
from attnlab.bench.llm import Recorder, save_folder
from attnlab.impls.generate._peers import limits

IN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}  # in a process of its own the engine's memory would not be seen
PAGE_TOKENS = 16
SPARE_PAGES = 1  # a sequence, beside the one of them all that vLLM keeps empty
SHARE_OF_FREE_MEMORY = 0.9


@dataclass(frozen=True, eq=False)
class VllmEngine:
    """An engine for the requests of one case, with the weights that it was loaded from."""

    case: GenerateCase
    weights: ModelWeights
    llm: Any

    def serves(self, case: GenerateCase, weights: ModelWeights) -> bool:
        return self.case == case and self.weights is weights


@implements(
    "generate",
    name="vllm",
    needs=Needs(device="cuda", capability=(7, 5), packages=("vllm",)),
    unverified="vllm 0.33.0, LLM(model=…, skip_tokenizer_init=True, …).llm_engine with add_request(id, prompt, params) "
    "and step() -> list[RequestOutput]",
)
class Vllm:
    """vLLM: its engine, scheduler and paged cache, CUDA graphs and all, without reuse of prefixes between calls."""

    def __init__(self) -> None:
        self._engine: VllmEngine | None = None

    def supports(self, case: GenerateCase) -> str | None:
        p = case.decoding.params
        if p.min_p > 0 and p.top_p < 1:
            return "min-p with top-p is not served: vLLM applies top-p after min-p"
        return limits(case, ("greedy", "sample"), layout=f"paged:{PAGE_TOKENS}", batchings=BATCHINGS)

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> VllmEngine:
        """Copies of the inputs share an engine: it takes minutes to start, and most of the memory."""
        if self._engine is None or not self._engine.serves(case, inputs.weights):
            self._engine = None
            self._engine = VllmEngine(case, inputs.weights, load_engine(case, inputs.weights))
        return self._engine

    def run(self, inputs: GenerateInputs, engine: VllmEngine) -> GenerateOutputs:
        recorder = inputs.begin()
        loop = ServingLoop(engine, recorder, inputs.seed)
        if engine.case.batching == "continuous":
            loop.serve_continuously(list(range(recorder.requests)))
        else:
            for batch in recorder.batches(engine.case.batch):
                loop.serve_batch(batch)
        recorder.count("cache", float(pool_bytes(engine.case)))
        return GenerateOutputs(torch.tensor(loop.answers), recorder.log())

    def configuration(self, case: GenerateCase) -> str | None:
        version = importlib.import_module("vllm").__version__
        return (
            f"vllm {version}, weights and cache {case.dtype}, pages of {PAGE_TOKENS}, no reuse of prefixes; passes are "
            f"not known apart"
        )


def load_engine(case: GenerateCase, weights: ModelWeights) -> Any:
    """The engine, which reads the weights from a folder that is gone afterwards."""
    device = weights.device
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (1, 1)
    with tempfile.TemporaryDirectory(prefix="attnlab-vllm-") as folder, mock.patch.dict(os.environ, IN_PROCESS):
        save_folder(weights, Path(folder))
        return importlib.import_module("vllm").LLM(
            model=folder,
            skip_tokenizer_init=True,
            dtype=case.dtype,
            max_model_len=case.total,
            max_num_seqs=case.batch,
            block_size=PAGE_TOKENS,
            enable_prefix_caching=False,
            kv_cache_memory_bytes=pool_bytes(case),
            gpu_memory_utilization=SHARE_OF_FREE_MEMORY * free / total,
        )


def pool_bytes(case: GenerateCase) -> int:
    """Of the pages that all requests share, and one that vLLM keeps for itself."""
    pages = case.pages or case.batch * (case.placing.pages_for(case.total) + SPARE_PAGES)
    token_bytes = 2 * case.config.layers * case.config.kv_heads * case.config.head_dim * case.torch_dtype.itemsize
    return (pages + 1) * PAGE_TOKENS * token_bytes


class ServingLoop:
    """One call: requests go in, and after each step what they have more than before is told."""

    def __init__(self, engine: VllmEngine, recorder: Recorder, seed: int) -> None:
        self._engine, self._recorder, self._seed = engine.llm.llm_engine, recorder, seed
        self._case = engine.case
        self.answers: list[list[int]] = [[] for _ in range(recorder.requests)]

    def serve_batch(self, requests: list[int]) -> None:
        """A batch, to its end."""
        for request in requests:
            self._add(request)
        while self._engine.has_unfinished_requests():
            self._step()

    def serve_continuously(self, requests: list[int]) -> None:
        """Each request joins when it is due, between two steps."""
        while requests or self._engine.has_unfinished_requests():
            if requests and not self._engine.has_unfinished_requests():
                self._recorder.wait_for(requests[0])
            while requests and self._recorder.due(requests[0]):
                self._add(requests.pop(0))
            self._step()

    def _add(self, request: int) -> None:
        params = vllm_params(self._case.decoding.params, self._case.new_tokens, self._seed * 1_000_003 + request)
        prompt = {"prompt_token_ids": list(self._recorder.prompt(request))}
        self._engine.add_request(str(request), prompt, params)

    def _step(self) -> None:
        for output in self._engine.step():
            request, ids = int(output.request_id), list(output.outputs[0].token_ids)
            if len(ids) > len(self.answers[request]):
                self._recorder.arrived(request, ids[len(self.answers[request]) :])
                self.answers[request] = ids


def vllm_params(p: SamplingParams, new_tokens: int, seed: int) -> Any:
    """vLLM's parameters for exactly so many tokens of the distribution; -1 lets its top-k keep all."""
    return importlib.import_module("vllm").SamplingParams(
        max_tokens=new_tokens,
        ignore_eos=True,
        detokenize=False,
        temperature=p.temperature,
        top_k=p.top_k or -1,
        top_p=p.top_p,
        min_p=p.min_p,
        repetition_penalty=p.repetition_penalty,
        seed=seed,
    )
