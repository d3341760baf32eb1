"""llama.cpp through llama-cpp-python, on the packaged file itself."""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from attnlab.bench import GenerateCase, GenerateInputs, GenerateOutputs, Needs, SamplingParams, implements
from attnlab.bench.llm import Q4_1, Recorder
from attnlab.impls._llama_cpp import open_llama
from attnlab.impls.generate._peers import cache_size, limits, pass_of

NO_TRUNCATION = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0}


@dataclass(frozen=True, eq=False)
class LlamaModel:
    """A model of llama.cpp with room for one sequence of the case."""

    case: GenerateCase
    llama: Any


@implements(
    "generate",
    name="llama_cpp",
    needs=Needs(device="cpu", packages=("llama_cpp",)),
    memory_seen=False,
    serves={"weights": (Q4_1,)},
)
class LlamaCpp:
    """llama.cpp on the packaged file: weights of 4 bits, activations rounded to 8 bits in each product."""

    def supports(self, case: GenerateCase) -> str | None:
        if case.batch > 1:
            return f"batch {case.batch} is not served: 1 only"
        return limits(case, ("greedy", "sample"), weights=Q4_1) or sampling_limits(case.decoding.params)

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> LlamaModel:
        return LlamaModel(case, open_llama(case.dtype, case.total, logits_all=False))

    def run(self, inputs: GenerateInputs, model: LlamaModel) -> GenerateOutputs:
        recorder = inputs.begin()
        answers = []
        for (request,) in recorder.batches(1):
            model.llama.set_seed((inputs.seed * 1_000_003 + request) % (1 << 32))
            answers.append(list(answer(model, recorder, request)))
        recorder.count("cache", cache_size(model.case))
        return GenerateOutputs(torch.tensor(answers), recorder.log())

    def configuration(self, case: GenerateCase) -> str | None:
        module = importlib.import_module("llama_cpp")
        system = [part.strip() for part in module.llama_print_system_info().decode().split("|")]
        features = " ".join(part.removesuffix(" = 1") for part in system if part.endswith(" = 1"))
        return (
            f"llama-cpp-python {module.__version__}, weights as in the file (Q4_1, embedding and head Q8_0), not "
            f"dequantised, activations 8 bits in products, cache {case.dtype}; built with {features.partition(': ')[2]}"
        )


def sampling_limits(p: SamplingParams) -> str | None:
    """What llama.cpp draws from another distribution than asked: it cuts before the temperature, not after."""
    if p.penalises:
        return "a repetition penalty is not served: llama.cpp's leaves the prompt out"
    if p.temperature not in (0, 1) and (p.top_p < 1 or p.min_p > 0):
        return f"temperature {p.temperature:g} with top-p or min-p is not served: llama.cpp applies it after them"
    return None


def answer(model: LlamaModel, recorder: Recorder, request: int) -> Iterator[int]:
    """The ids of one answer; a pass is told with the choice of its token, since llama.cpp makes both in one call."""
    case, p = model.case, model.case.decoding.params
    options = {"temp": p.temperature, "top_k": p.top_k or 0, "top_p": p.top_p, "min_p": p.min_p}
    model.llama.reset()  # forgets the last prompt, whose beginning would be taken over otherwise
    ids = model.llama.generate(list(recorder.prompt(request)), **NO_TRUNCATION | options)
    begun_ns = time.perf_counter_ns()
    for place, token in enumerate(itertools.islice(ids, case.new_tokens)):
        recorder.arrived(request, [int(token)])
        elapsed_ns = float(time.perf_counter_ns() - begun_ns)
        kind, rows = ("decode", 1) if place else ("prefill", case.prompt_len)
        recorder.ran(pass_of(case, kind, elapsed_ns, rows, [case.prompt_len + place]))
        yield int(token)
        begun_ns = time.perf_counter_ns()
