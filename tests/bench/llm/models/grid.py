"""Agreement of our reference with transformers over a grid of configurations, read from folders and GGUF files.

    python -m tests.bench.llm.models.grid [--families gemma2,gemma3_text]

prints the largest difference of logits for each family, kind of file and dtype of its weights. Weights are random, of
toy models; both compute in float32. A folder is what transformers' own `save_pretrained` writes; a GGUF file is written
as llama.cpp's converter does.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import load_model
from attnlab.bench.errors import ModelWarning
from attnlab.bench.llm.models.config import PUBLISHED, ModelConfig
from attnlab.bench.llm.models.families import FAMILIES, kind_of
from attnlab.bench.llm.models.huggingface import config_json, state_dict
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling, yarn_attention
from attnlab.bench.llm.models.weights import ModelWeights
from tests.bench.llm.models.gguf_files import write_model

LAYERS, TOKENS, WINDOW = 4, 40, 7
IDS = torch.randint(0, 512, (2, TOKENS), generator=torch.Generator().manual_seed(2))
BASE = dataclasses.replace(PUBLISHED["toy"], layers=LAYERS, norm_eps=1e-6, hidden_size=72)

HEADS = {"MHA": 4, "GQA": 2, "MQA": 1}
ALTERNATING, BY_THREE = (True, False) * 2, (True, True, False, True)
YARN = YarnScaling(4.0, original_length=16, attention_factor=yarn_attention(4.0))
COMMON: tuple[dict[str, Any], ...] = (
    {"head_dim": 18, "tied_embeddings": True},
    {"head_dim": 24, "tied_embeddings": False},
    {"head_dim": 24, "tied_embeddings": True, "rope_scaling": LinearScaling(4.0)},
    {"head_dim": 18, "tied_embeddings": False, "rope_scaling": Llama3Scaling(8.0, 1.0, 4.0, 64)},
    {"head_dim": 24, "tied_embeddings": False, "rope_scaling": YARN},
)
"""With a head size that is the hidden size over the heads, and another; a tied head, and one of its own; scaling."""

CAPS = {"caps": {"score_softcap": 2.0, "logit_softcap": 6.0}, "no caps": {}}
GEMMA: dict[str, Any] = {"activation": "gelu_tanh", "scaled_embedding": True}
OWN: dict[str, tuple[dict[str, Any], ...]] = {
    "llama": ({},),
    "mistral": ({"sliding_window": WINDOW}, {"sliding_window": WINDOW, "norm_eps": 1e-2}),
    "qwen2": tuple(
        {"qkv_bias": True, **windows}
        for windows in (
            {},
            {"sliding_window": WINDOW},
            {"sliding_window": WINDOW, "windowed": (False, False, True, True)},
        )
    ),
    "qwen3": tuple(
        {"qk_norm": True, **windows}
        for windows in (
            {},
            {"sliding_window": WINDOW},
            {"sliding_window": WINDOW, "windowed": (False, True, True, True)},
        )
    ),
    "gemma": (GEMMA,),
    "gemma2": tuple(
        {**GEMMA, "branch_norms": True, "query_scalar": scalar, **windows, **caps}
        for scalar in (None, 40.0)
        for windows in ({}, {"sliding_window": WINDOW, "windowed": ALTERNATING}, {"sliding_window": WINDOW})
        for caps in CAPS.values()
    ),
    "gemma3_text": tuple(
        {**GEMMA, "branch_norms": True, "qk_norm": True, **more}
        for more in (
            {},
            {"sliding_window": WINDOW, "windowed": BY_THREE, "local_rope_theta": 100.0},
            {"sliding_window": WINDOW, "windowed": ALTERNATING, "local_rope_theta": 100.0, "query_scalar": 40.0},
            {"sliding_window": WINDOW, "local_rope_theta": 100.0, "logit_softcap": 6.0},
        )
    ),
}
"""What each family's configurations differ in beside the axes of all."""


def grid(family: str) -> Iterator[ModelConfig]:
    """Every configuration of a family."""
    for own, kv_heads, common in itertools.product(OWN[family], HEADS.values(), COMMON):
        yield dataclasses.replace(BASE, name=family, kv_heads=kv_heads, **common, **own)


def in_transformers(weights: ModelWeights) -> Any:
    """The model of transformers with the same weights; raises where it has others than ours."""
    import transformers

    config = transformers.AutoConfig.for_model(**config_json(weights.config))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=weights.dtype)
    left = model.load_state_dict(state_dict(weights), strict=False)
    assert not left.unexpected_keys
    assert set(left.missing_keys) <= {"lm_head.weight"}
    return model.eval()


def in_gguf(config: ModelConfig) -> bool:
    """Whether llama.cpp's architecture of that name has such a model, and `fields_of` writes it."""
    kind = kind_of(config)
    windowed = config.sliding_window is None or FAMILIES[kind].period is not None
    capped = kind != "gemma2" or config.score_softcap is not None
    return windowed and capped and config.query_scalar is None and config.rope_scaling is None


def difference(read: ModelWeights, logits: Tensor) -> float:
    """The largest of all logits, of the reference in float32."""
    return float((reference_logits(read, IDS) - logits).abs().max())


@torch.no_grad()
def differences(config: ModelConfig, dtype: torch.dtype, folder: Path) -> dict[str, float]:
    """The largest difference of logits by kind of file; its weights are of `dtype`, and both compute in float32."""
    weights = random_weights(config, dtype, "cpu", seed=3)
    in_transformers(weights).save_pretrained(folder / "model")
    logits = reread(folder / "model")(IDS).logits
    found = {"folder": difference(load_model(str(folder / "model")), logits)}
    if in_gguf(config) and dtype == torch.float32:
        found["GGUF"] = difference(load_model(str(write_model(folder / "model.gguf", weights))), logits)
    return found


def reread(folder: Path) -> Any:
    """The model in a folder as transformers reads it, in float32."""
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--families", default=",".join(OWN))
    warnings.simplefilter("error", ModelWarning)
    print("| family | configurations | file | its dtype | largest difference of logits |\n|---|---|---|---|---|")
    for family in parser.parse_args().families.split(","):
        for dtype in (torch.float32, torch.bfloat16):
            found: dict[str, list[float]] = defaultdict(list)
            for config in grid(family):
                with tempfile.TemporaryDirectory() as folder:
                    for source, largest in differences(config, dtype, Path(folder)).items():
                        found[source].append(largest)
            for source, each in found.items():
                print(f"| {family} | {len(each)} | {source} | {str(dtype)[6:]} | {max(each):.1e} |", flush=True)


if __name__ == "__main__":
    main()
