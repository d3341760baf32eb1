"""The activations that are committed with the source, for machines without the model."""

from pathlib import Path

from attnlab.bench.llm.captured import packed
from attnlab.bench.llm.captured.texts import DATA, ids_path

FIXTURE_TEXT = "prose"
FIXTURE_LAYERS = (1, 13)
"""An early layer of diffuse attention, and one in the middle with an attention sink. In both, each key head
has a channel eight to ten times its median one; data/README.md has the measurements."""

FIXTURE_TOKENS = 512


def fixture_path(layer: int, text: str) -> Path:
    return DATA / f"{text}-layer{layer:02d}.npz"


def fixture_tokens(layer: int, text: str) -> int:
    """Tokens of `layer` on `text` that the fixture holds, 0 for most; raises UnknownName for another text."""
    ids_path(text)
    return FIXTURE_TOKENS if text == FIXTURE_TEXT and layer in FIXTURE_LAYERS else 0


def read_fixture(layer: int, text: str) -> packed.QKV:
    """All that the fixture holds of `layer` on `text`, bfloat16; raises CaptureUnavailable if damaged."""
    return packed.read(fixture_path(layer, text))
