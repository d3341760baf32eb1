"""Operator `perplexity`: how likely a model finds the tokens of a text, and what codes in its weights or cache cost."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Fact, Operator, TensorSpec
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.prompts import random_ids
from attnlab.bench.llm.quality.texts import text_ids, windows_of
from attnlab.bench.ops.generate.contract import shared_tokenizer, weights_of
from attnlab.bench.ops.generate.cost import attention_operations, head_operations, pass_bytes, token_operations
from attnlab.bench.ops.perplexity.case import PerplexityCase, PerplexityInputs
from attnlab.bench.ops.perplexity.check import LogBudget
from attnlab.bench.ops.perplexity.quality import facts as facts_of

ID_BYTES, LOG_BYTES = 8, 4


@lru_cache(maxsize=4)
def _text(name: str, model: str, vocab_size: int) -> Tensor:
    return text_ids(name, model, partial(shared_tokenizer, model), vocab_size)


def ids_of(case: PerplexityCase) -> Tensor:
    """The case's text, int64 [T]; raises UsageError where it has too few tokens."""
    ids = _text(case.text, case.model, case.config.vocab_size)
    if len(ids) < case.tokens:
        raise UsageError(
            f"got windows={case.windows}, which take {case.tokens} tokens of {case.text}; it has {len(ids)} for "
            f"{case.model}: take fewer windows, or a smaller window or stride"
        )
    return ids


def draw_windows(case: PerplexityCase, draw: str, seed: int) -> Tensor:
    """Windows that begin somewhere in the text, [B, W]; behind its end it begins anew.

    Needles: ids of no text, of which the second half of a window says the first half again: what comes next is then
    known by what was read, and by nothing else.
    """
    if draw == NEEDLE_DRAW:
        half = random_ids(case.config.vocab_size, case.batch, -(-case.window // 2), seed)
        return half.repeat(1, 2)[:, : case.window].contiguous()
    ids = ids_of(case)
    generator = torch.Generator().manual_seed(seed)
    offset = int(torch.randint(0, len(ids), (), generator=generator))
    return windows_of(ids, case.window, case.stride, case.batch, offset)


def make_inputs(case: PerplexityCase, draw: str, seed: int, device: torch.device) -> PerplexityInputs:
    weights = weights_of(case.model, case.torch_dtype, device, case.weights).settled(case.window, case.window)
    ids = draw_windows(case, draw, seed).to(device)
    return PerplexityInputs(ids, weights, case.scored, probed=draw == NEEDLE_DRAW)


def redrawn(case: PerplexityCase, inputs: PerplexityInputs, seed: int) -> PerplexityInputs:
    """Other windows for the same model."""
    return replace(inputs, ids=draw_windows(case, "drawn", seed).to(inputs.ids.device))


def outputs(case: PerplexityCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("logs", (case.batch, case.scored), torch.float32),)


def operations(case: PerplexityCase) -> int:
    """FLOP: every token but the last goes through the layers, each that is scored has had a head."""
    config, through = case.config, case.window - 1
    each = through * token_operations(config) + case.scored * head_operations(config)
    return case.batch * (each + attention_operations(config, through))


def bytes_moved(case: PerplexityCase) -> int:
    """The weights, read once; ids read, and logarithms written."""
    ids, logs = case.batch * case.window * ID_BYTES, case.batch * case.scored * LOG_BYTES
    return pass_bytes(case.config, case.torch_dtype, case.weights) + ids + logs


def input_bytes(case: PerplexityCase) -> int:
    return case.config.weight_bytes(case.torch_dtype)


def plain_bytes(case: PerplexityCase) -> int:
    """Logits of every scored token, in float32."""
    return 4 * case.batch * case.scored * case.config.vocab_size


def facts(case: PerplexityCase, seed: int, device: torch.device) -> tuple[Fact, ...]:
    """Of the windows from the beginning of the text, whatever the seed."""
    return facts_of(case, device, ids_of)


PERPLEXITY: Operator[PerplexityCase, PerplexityInputs] = Operator(
    name="perplexity",
    summary="how likely a model finds the tokens of a text; what formats of its weights and cache cost in quality",
    case_type=PerplexityCase,
    inputs_type=PerplexityInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    input_bytes=input_bytes,
    plain_bytes=plain_bytes,
    check=LogBudget(),
    length_axis="window",
    headlines=("ppl_difference", "kl_mean", "same_top"),
    checked_draws=1,
    facts=facts,
    redrawn=redrawn,
)
registry.operators.add(PERPLEXITY.name, PERPLEXITY, __name__)
