"""Real activations of a language model, to feed operators with."""

from attnlab.bench.errors import CaptureUnavailable
from attnlab.bench.llm.captured.activations import DEFAULT_LAYER, DEFAULT_TEXT, Activations, attention_activations
from attnlab.bench.llm.captured.fixture import fixture_tokens
from attnlab.bench.llm.captured.packed import HEAD_DIM, KV_HEADS, LAYERS, Q_HEADS
from attnlab.bench.llm.captured.texts import TEXTS, longest

__all__ = [
    "DEFAULT_LAYER",
    "DEFAULT_TEXT",
    "HEAD_DIM",
    "KV_HEADS",
    "LAYERS",
    "Q_HEADS",
    "TEXTS",
    "Activations",
    "CaptureUnavailable",
    "attention_activations",
    "fixture_tokens",
    "longest",
]
