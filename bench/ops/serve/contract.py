"""Operator `serve`: a server answers requests over HTTP, under a load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, TensorSpec
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.events import series_of
from attnlab.bench.llm.generation.served import series_of_load
from attnlab.bench.ops.generate.cost import attention_operations, head_operations, token_operations
from attnlab.bench.ops.serve.case import COLD, STREAM, ServeCase
from attnlab.bench.ops.serve.check import ServedText
from attnlab.bench.ops.serve.inputs import ServeInputs, ServeOutputs
from attnlab.bench.ops.serve.lengths import FIXED, Lengths
from attnlab.bench.ops.serve.loads import CONCURRENCY, CONVERSATIONS, LoadAxis
from attnlab.bench.ops.serve.logs import call_log, load_log, told_of
from attnlab.bench.ops.serve.told import specs_of, tensors_of
from attnlab.bench.ops.serve.witness import attest, refute
from attnlab.bench.store.records import Series

EXAMINED = 3
"""Requests that are asked for as a stream and whole."""
LONGEST_EXAMINED, LONGEST_EXAMINED_ANSWER = 1024, 16
ID_BYTES = 8


def make_inputs(case: ServeCase, draw: str, seed: int, device: torch.device) -> ServeInputs:
    """Numbers of prompts that follow from the seed."""
    return ServeInputs(_numbers(case, seed), case, seed, asks=draw == NEEDLE_DRAW)


def redrawn(case: ServeCase, inputs: ServeInputs, seed: int) -> ServeInputs:
    """Other prompts."""
    return replace(inputs, numbers=_numbers(case, seed))


def _numbers(case: ServeCase, seed: int) -> Tensor:
    return seed * case.requests + torch.arange(case.requests, dtype=torch.int64)


def exam_cases(case: ServeCase, seed: int) -> tuple[ServeCase, ...]:
    """Few requests, one after another, of the longest lengths within reason."""
    prompt, new = min(case.most_prompt, LONGEST_EXAMINED), min(case.most_new, LONGEST_EXAMINED_ANSWER)
    talks = case.load.kind == CONVERSATIONS
    rows = case.load.turns if talks else min(EXAMINED, case.requests)
    return (
        replace(
            case,
            requests=rows,
            load=case.load if talks else LoadAxis(CONCURRENCY, at_once=1),
            prompt_len=Lengths(FIXED, prompt, prompt),
            new_tokens=Lengths(FIXED, new, new),
            answer=STREAM,
        ),
    )


def outputs(case: ServeCase) -> tuple[TensorSpec, ...]:
    return specs_of(case)


def evidence(case: ServeCase) -> tuple[TensorSpec, ...]:
    return specs_of(case, "whole_")


def handed_over(inputs: ServeInputs, returned: Any) -> Any:
    """What each request was answered; where inputs ask, as a stream and then whole."""
    if not isinstance(returned, ServeOutputs):
        return returned
    logs = [returned.log, *([returned.whole] if returned.whole is not None else [])]
    return tuple(x for log in logs for x in tensors_of(inputs.case, told_of(log, returned.salts)))


def observed(inputs: ServeInputs, returned: ServeOutputs) -> tuple[Series, ...]:
    """What a timed call says of itself: the log of its requests, and the client's."""
    return (*series_of(call_log(returned)), *series_of_load(load_log(returned)))


def operations(case: ServeCase) -> int:
    """FLOP of every request as if nothing were cached, of a model whose shape is known; 0 of another."""
    if not case.is_embedded or case.prefix != COLD:
        return 0
    config, total = case.config, 0
    for prompt, new in case.lengths_of(seed=0):
        through = prompt + new - 1
        total += through * token_operations(config) + new * head_operations(config)
        total += attention_operations(config, through)
    return total


def bytes_moved(case: ServeCase) -> int:
    """The ids that go in and out: what a server reads besides is its own."""
    return ID_BYTES * sum(prompt + new for prompt, new in case.lengths_of(seed=0))


SERVE: Operator[ServeCase, ServeInputs] = Operator(
    name="serve",
    summary="a server answering requests over HTTP: TTFT, ITL, throughput and goodput under a load",
    case_type=ServeCase,
    inputs_type=ServeInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=ServedText(),
    headlines=("ttft_ns", "itl_ns", "output_tok_per_s", "goodput_per_s", "cached_share", "failed_requests"),
    needle_draws=1,
    needle_cases=exam_cases,
    evidence=evidence,
    other_calls=lambda case, inputs: (),
    checked_draws=0,
    results=handed_over,
    observe=observed,
    attest=attest,
    refute=refute,
    redrawn=redrawn,
)
registry.operators.add(SERVE.name, SERVE, __name__)
