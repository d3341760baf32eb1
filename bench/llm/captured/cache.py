"""What the model has computed before, in the user's cache folder."""

import hashlib
import warnings
from pathlib import Path

from attnlab.bench.errors import CaptureUnavailable
from attnlab.bench.llm.captured import packed
from attnlab.bench.llm.captured.texts import token_ids
from attnlab.bench.llm.models.packaged import MODEL_SHA256
from attnlab.bench.store.folders import cache_folder
from attnlab.bench.whole_file import whole_file

FORMAT = 2
"""Raised whenever the model's computation or the file format changes, so that older files are passed over."""


def cache_path(layer: int, text: str) -> Path:
    """One file for each layer and text; its name changes with the model, the token ids and the format."""
    origin = f"{FORMAT} {MODEL_SHA256} ".encode() + token_ids(text).numpy().tobytes()
    return cache_folder() / f"smollm2-{text}-layer{layer:02d}-{hashlib.sha256(origin).hexdigest()[:12]}.npz"


def read_cache(layer: int, text: str, tokens: int) -> packed.QKV | None:
    """bfloat16 queries, keys and values of `tokens` tokens or more, or None; warns of a damaged file."""
    path = cache_path(layer, text)
    if not path.exists():
        return None
    try:
        qkv = packed.read(path)
    except CaptureUnavailable as error:
        warnings.warn(f"passed over a damaged cache file: {error}", stacklevel=2)
        return None
    return qkv if qkv[0].shape[1] >= tokens else None


def write_cache(layer: int, text: str, qkv: packed.QKV) -> None:
    """Keeps `qkv` for `read_cache`. Readers see the old file or the new one, never a part.

    A folder that cannot be written to gives a warning: the activations are there all the same.
    """
    path = cache_path(layer, text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as file:
            packed.write(file, qkv)
    except OSError as error:
        warnings.warn(f"activations are not kept for next time: {error}", stacklevel=2)
