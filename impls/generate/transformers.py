"""Hugging Face transformers: its model around the same tensors, and its `generate`."""

from __future__ import annotations

import copy
import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import GenerateCase, GenerateInputs, GenerateOutputs, Needs, implements
from attnlab.bench.llm import Decoding, Recorder
from attnlab.impls.generate._peers import cache_size, limits, pass_of
from attnlab.impls.generate._transformers_model import attention_of, model_of

METHODS = ("greedy", "sample", "prompt_lookup")


@dataclass(frozen=True, eq=False)
class TransformersSetup:
    """A model of transformers, and how it is to generate."""

    case: GenerateCase
    model: Any
    settings: Any


@implements("generate", name="transformers", needs=Needs(packages=("transformers",)))
class Transformers:
    """Hugging Face transformers: `generate` with SDPA, or eager attention, and a growing cache on the same tensors."""

    def supports(self, case: GenerateCase) -> str | None:
        if case.decoding.speculative and case.batch > 1:
            return f"batch {case.batch} with {case.decoding.method} is not served: 1 only"
        return limits(case, METHODS)

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> TransformersSetup:
        return TransformersSetup(case, model_of(inputs.weights), settings_of(case.decoding, case.new_tokens))

    def run(self, inputs: GenerateInputs, setup: TransformersSetup) -> GenerateOutputs:
        recorder = inputs.begin()
        with seeded_generators(inputs.seed, inputs.weights.device):
            answers = [answer(setup, recorder, batch) for batch in recorder.batches(setup.case.batch)]
        recorder.count("cache", cache_size(setup.case))
        logs = None if recorder.evidence is None else recorder.evidence.tensor()
        return GenerateOutputs(torch.cat(answers), recorder.log(), logs)

    def configuration(self, case: GenerateCase) -> str | None:
        version = importlib.import_module("transformers").__version__
        guessing = ", its own n-grams of at most 2 tokens" if case.decoding.speculative else ""
        attention = attention_of(case.config)
        return f"transformers {version}, weights and cache {case.dtype}, {attention}, DynamicCache{guessing}"


def settings_of(decoding: Decoding, new_tokens: int) -> Any:
    """The same number of tokens whatever they are, and the same distribution; 0 switches its top-k of 50 off."""
    p = decoding.params
    sampling: dict[str, Any] = {"do_sample": False}
    if not p.greedy:
        sampling = {
            "do_sample": True,
            "temperature": p.temperature,
            "top_k": p.top_k or 0,
            "top_p": p.top_p,
            "min_p": p.min_p or None,
        }
    if decoding.speculative:
        sampling["prompt_lookup_num_tokens"] = decoding.guesses
    return importlib.import_module("transformers").GenerationConfig(
        max_new_tokens=new_tokens, repetition_penalty=p.repetition_penalty, use_cache=True, **sampling
    )


@contextmanager
def seeded_generators(seed: int, device: torch.device) -> Iterator[None]:
    """torch's own generators, which transformers draws from, seeded; restored afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def answer(setup: TransformersSetup, recorder: Recorder, requests: list[int]) -> Tensor:
    """Answers to a batch of requests, int64 [B, N] on the CPU."""
    device = setup.model.device
    prompts = torch.tensor([list(recorder.prompt(request)) for request in requests], device=device)
    settings = setup.settings
    if recorder.evidence is not None:
        settings = copy.deepcopy(settings)
        settings.return_dict_in_generate = settings.output_logits = True
    with PassWatcher(setup, recorder, requests).hooks() as watcher:
        mask = torch.ones_like(prompts)
        whole = setup.model.generate(prompts, attention_mask=mask, generation_config=settings, streamer=watcher)
    ids = whole if recorder.evidence is None else whole.sequences
    out: Tensor = ids[:, prompts.shape[1] :].cpu()
    if recorder.evidence is not None:
        for row, request in enumerate(requests):
            recorder.evidence.tell(request, torch.stack([each[row] for each in whole.logits]), out[row].tolist())
    return out


class PassWatcher:
    """Told of each pass by hooks, and of each token as a streamer: of the prompt first, then of every step's tokens."""

    def __init__(self, setup: TransformersSetup, recorder: Recorder, requests: list[int]) -> None:
        self._setup, self._recorder, self._requests = setup, recorder, requests
        self._output_tokens = -1  # tokens of each answer; the prompt is yet to come
        self._rows = 0
        self._begun_ns = self._ended_ns = 0

    @contextmanager
    def hooks(self) -> Iterator[PassWatcher]:
        model = self._setup.model
        hooks = (
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after),
        )
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _before(self, model: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._rows = keywords["input_ids"].shape[1]
        self._begun_ns = time.perf_counter_ns()

    def _after(self, model: Any, args: tuple[Any, ...], output: Any) -> None:
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)  # as our own engine does after each pass
        self._ended_ns = time.perf_counter_ns()

    def put(self, ids: Tensor) -> None:
        """What a streamer is given: ids on the CPU, [B, P] of the prompts, then [B], or [1, K] of judged guesses."""
        if self._output_tokens < 0:
            self._output_tokens = 0
            return
        rows = ids.view(len(self._requests), -1).tolist()
        count = len(rows[0])
        for request, row in zip(self._requests, rows, strict=True):
            self._recorder.arrived(request, row)
            if self._output_tokens == 0:
                self._recorder.first_sample(request, float(time.perf_counter_ns() - self._ended_ns))
        self._record_pass(count)
        self._output_tokens += count

    def end(self) -> None:
        """What a streamer is told at the end."""

    def _record_pass(self, count: int) -> None:
        """The pass that `count` tokens of each answer came of."""
        case = self._setup.case
        first = self._output_tokens == 0
        before = 0 if first else case.prompt_len + self._output_tokens - 1  # the last token is not in the cache yet
        drafted = self._rows - (case.prompt_len if first else 1)
        counts = ((drafted,), (count - 1,)) if drafted else ((), ())
        kind = "prefill" if first else "verify" if drafted else "decode"
        elapsed_ns = float(self._ended_ns - self._begun_ns)
        batch = len(self._requests)
        lengths = [before + self._rows] * batch
        self._recorder.ran(pass_of(case, kind, elapsed_ns, batch * self._rows, lengths, *counts))
