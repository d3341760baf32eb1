"""llama.cpp through llama-cpp-python, on the packaged file: what its adapters share."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from attnlab.bench.llm import find_model

CACHE_TYPES = {"float32": 0, "float16": 1, "bfloat16": 30}  # ggml's numbers


def open_llama(dtype: str, tokens: int, **options: Any) -> Any:
    """The model on the CPU, with a cache of so many tokens in the dtype, in as many threads as torch has.

    options: further ones of `llama_cpp.Llama`.
    """
    threads, kind = torch.get_num_threads(), CACHE_TYPES[dtype]
    return importlib.import_module("llama_cpp").Llama(
        model_path=str(find_model()),
        n_ctx=tokens,
        n_gpu_layers=0,
        n_threads=threads,
        n_threads_batch=threads,
        type_k=kind,
        type_v=kind,
        verbose=False,
        **options,
    )
