"""A linear layer of SmolLM2-135M-Instruct as it is: its weight, and what it is given on texts, in two parts.

The shipped prompts calibrate methods; the captured texts, which are others, are held out to judge them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from attnlab.bench.errors import CaptureUnavailable, ModelUnavailable, Unavailable, UsageError
from attnlab.bench.llm.captured.texts import TEXTS, token_ids
from attnlab.bench.llm.kept_tensors import keep_tensors, read_tensors
from attnlab.bench.llm.models.load import load_model, load_tokenizer
from attnlab.bench.llm.models.packaged import MODEL_SHA256
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quantization.calibration import FIELDS, TOKENS_A_TEXT, Kind, calibration_ids, layer_inputs
from attnlab.bench.store.folders import cache_folder

FORMAT = 1
"""Raised whenever what is kept, or the texts, change, so that older files are passed over."""

CALIBRATION_TOKENS = 2048
HELD_OUT_TEXTS = 1  # of TOKENS_A_TEXT tokens, from the beginning of each captured text


@dataclass(frozen=True, eq=False)
class CapturedLinear:
    """One projection: weight [N, K] in float32, and the rows [T, K] that it is given, in bfloat16."""

    weight: Tensor
    calibration: Tensor
    held_out: Tensor


def captured_linear(layer: int, projection: str) -> CapturedLinear:
    """A projection of a layer, by its field in `LayerWeights`, with its activations, on the CPU.

    The first call for a layer reads the texts up to it, some seconds, and keeps what that gave in the user's cache.
    Raises UsageError for a layer that does not exist, CaptureUnavailable where the model is not installed.
    """
    weights = _packaged()
    if not 0 <= layer < weights.config.layers:
        raise UsageError(f"got layer {layer} of {PACKAGED}, expected 0 to {weights.config.layers - 1}")
    kind: Kind = next(kind for kind, fields in FIELDS.items() if projection in fields)
    kept = _activations(layer)
    weight: Tensor = getattr(weights.layers[layer], projection)
    return CapturedLinear(weight, kept[f"calibration.{kind}"], kept[f"held_out.{kind}"])


@lru_cache(maxsize=1)
def _packaged() -> ModelWeights:
    try:
        return load_model(PACKAGED)
    except (ModelUnavailable, ImportError) as error:
        raise CaptureUnavailable(f"asked for a layer of {PACKAGED}, which cannot be read: {error}") from error


@lru_cache(maxsize=2)
def _activations(layer: int) -> Mapping[str, Tensor]:
    path = _path(layer)
    kept = read_tensors(path)
    if kept is None:
        kept = _computed(layer)
        keep_tensors(path, kept)
    return kept


def _computed(layer: int) -> dict[str, Tensor]:
    try:
        shown = calibration_ids(load_tokenizer(PACKAGED), CALIBRATION_TOKENS)
    except Unavailable as error:
        raise CaptureUnavailable(f"asked for what layer {layer} of {PACKAGED} is given: {error}") from error
    held_out = torch.stack([part for text in TEXTS for part in token_ids(text).split(TOKENS_A_TEXT)[:HELD_OUT_TEXTS]])
    found: dict[str, Tensor] = {}
    for part, ids in (("calibration", shown), ("held_out", held_out)):
        *_, inputs = layer_inputs(_packaged(), ids, layer + 1)
        found |= {f"{part}.{kind}": inputs.of(kind).bfloat16() for kind in FIELDS}
    return found


def _path(layer: int) -> Path:
    origin = hashlib.sha256(f"{FORMAT} {MODEL_SHA256} {CALIBRATION_TOKENS} {HELD_OUT_TEXTS}".encode()).hexdigest()
    return cache_folder() / f"smollm2-linear-layer{layer:02d}-{origin[:12]}.pt"
