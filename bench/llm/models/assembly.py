"""From the tensors of a file, under the file's names for them, to the weights of a model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError, ModelWarning
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.quantised_files import REMEDY, quantised_tensor
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights, layer_shapes, model_shapes
from attnlab.bench.text import one_line


class TensorSource(Protocol):
    """Tensors by name, read when asked for, from several threads."""

    def shapes(self) -> dict[str, tuple[int, ...]]: ...

    def place(self, name: str) -> str:
        """The file that holds the tensor, or should."""
        ...

    def tensor(self, name: str) -> Tensor: ...

    def check(self, name: str) -> None:
        """Raises ModelError where the tensor's content is cut short or in a form that is not known."""
        ...


@dataclass(frozen=True)
class Naming:
    """How a kind of file names the tensors of a model."""

    outer: Mapping[str, str]
    """By the field of `ModelWeights`."""
    layer: Mapping[str, str]
    """By the field of `LayerWeights`; `{}` stands for the layer's number."""

    def names(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """All tensors of a model of `config`, with the shapes they must have."""
        outer = {self.outer[role]: shape for role, shape in model_shapes(config).items()}
        inner = layer_shapes(config).items()
        layers = {self.layer[role].format(i): shape for i in range(config.layers) for role, shape in inner}
        return outer | layers


GGUF_NAMES = Naming(
    outer={"embedding": "token_embd.weight", "output_norm": "output_norm.weight", "head": "output.weight"},
    layer={
        "attention_norm": "blk.{}.attn_norm.weight",
        "query": "blk.{}.attn_q.weight",
        "key": "blk.{}.attn_k.weight",
        "value": "blk.{}.attn_v.weight",
        "output": "blk.{}.attn_output.weight",
        "mlp_norm": "blk.{}.ffn_norm.weight",
        "gate": "blk.{}.ffn_gate.weight",
        "up": "blk.{}.ffn_up.weight",
        "down": "blk.{}.ffn_down.weight",
        "query_bias": "blk.{}.attn_q.bias",
        "key_bias": "blk.{}.attn_k.bias",
        "value_bias": "blk.{}.attn_v.bias",
        "query_norm": "blk.{}.attn_q_norm.weight",
        "key_norm": "blk.{}.attn_k_norm.weight",
        "attention_branch_norm": "blk.{}.post_attention_norm.weight",
        "mlp_branch_norm": "blk.{}.post_ffw_norm.weight",
    },
)

HUGGINGFACE_NAMES = Naming(
    outer={"embedding": "model.embed_tokens.weight", "output_norm": "model.norm.weight", "head": "lm_head.weight"},
    layer={
        "attention_norm": "model.layers.{}.input_layernorm.weight",
        "query": "model.layers.{}.self_attn.q_proj.weight",
        "key": "model.layers.{}.self_attn.k_proj.weight",
        "value": "model.layers.{}.self_attn.v_proj.weight",
        "output": "model.layers.{}.self_attn.o_proj.weight",
        "mlp_norm": "model.layers.{}.post_attention_layernorm.weight",
        "gate": "model.layers.{}.mlp.gate_proj.weight",
        "up": "model.layers.{}.mlp.up_proj.weight",
        "down": "model.layers.{}.mlp.down_proj.weight",
        "query_bias": "model.layers.{}.self_attn.q_proj.bias",
        "key_bias": "model.layers.{}.self_attn.k_proj.bias",
        "value_bias": "model.layers.{}.self_attn.v_proj.bias",
        "query_norm": "model.layers.{}.self_attn.q_norm.weight",
        "key_norm": "model.layers.{}.self_attn.k_norm.weight",
    },
)
BRANCH_NORM_NAMES = Naming(
    outer=HUGGINGFACE_NAMES.outer,
    layer={
        **HUGGINGFACE_NAMES.layer,
        "attention_branch_norm": "model.layers.{}.post_attention_layernorm.weight",
        "mlp_norm": "model.layers.{}.pre_feedforward_layernorm.weight",
        "mlp_branch_norm": "model.layers.{}.post_feedforward_layernorm.weight",
    },
)
"""Of models with norms behind attention and MLP: `post_attention_layernorm` is another norm there."""


def assemble(
    config: ModelConfig,
    source: TensorSource,
    naming: Naming,
    dtype: torch.dtype,
    device: torch.device | str,
    origin: str,
    derived: frozenset[str] = frozenset(),
) -> ModelWeights:
    """The model, its tensors read in parallel; raises ModelError, before any is read, for what does not fit.

    Every tensor of the file must be taken, or the result would be another model's; `derived` names those that the
    configuration has taken. NaN and infinite weights are refused, too: no implementation is to blame for them.
    """
    if config.layers > len(source.shapes()):
        raise ModelError(
            f"{source.place('')}: got {config.layers} layers, and {len(source.shapes())} tensors in all, expected more"
        )
    expected = naming.names(config)
    check_fit(source, expected, derived)

    def read(name: str) -> Tensor:
        stored = source.tensor(name)
        tensor = stored.to(device=device, dtype=dtype)
        if not bool(tensor.isfinite().all()):
            raise ModelError(f"{source.place(name)}: tensor {name} {not_finite(stored, dtype)}")
        return tensor

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        tensors = dict(zip(expected, pool.map(read, expected), strict=True))
    roles = layer_shapes(config)
    layers = tuple(
        LayerWeights.of({role: tensors[naming.layer[role].format(index)] for role in roles})
        for index in range(config.layers)
    )
    embedding = tensors[naming.outer["embedding"]]
    return ModelWeights(
        config=config,
        embedding=embedding,
        layers=layers,
        output_norm=tensors[naming.outer["output_norm"]],
        head=embedding if config.tied_embeddings else tensors[naming.outer["head"]],
        origin=origin,
    )


def not_finite(stored: Tensor, dtype: torch.dtype) -> str:
    """What is wrong with the values of a tensor, some of which are not finite in `dtype`."""
    bad = int((~stored.isfinite()).sum())
    if bad:
        return f"holds {bad} values of {stored.numel()} that are NaN or infinite; fetch it again"
    name = str(dtype).removeprefix("torch.")
    return f"holds values up to {float(stored.abs().max()):.3g}, too large for {name}; take bfloat16 or float32"


def check_fit(source: TensorSource, expected: Mapping[str, tuple[int, ...]], derived: frozenset[str]) -> None:
    shapes = source.shapes()
    if (found := quantised_tensor(shapes)) is not None:
        name, program = found
        raise ModelError(
            f"{source.place(name)} holds the tensor {name}, as {program} stores weights in fewer bits; expected "
            f"weights that are stored as numbers: {REMEDY}"
        )
    missing = [name for name in expected if name not in shapes]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"{source.place(missing[0])} lacks the tensor {missing[0]}{more}, of {len(expected)} expected")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ModelError(
                f"{source.place(name)}: tensor {name} has shape {list(shapes[name])}, expected {list(shape)}"
            )
        source.check(name)
    left = [name for name in shapes if name not in expected and name not in derived]
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise ModelError(
            f"{source.place(left[0])} holds the tensor {left[0]}{more}, which the model described beside it does not "
            "take; expected no others, for leaving one out computes another model"
        )


def tell_unknown(place: str, names: Sequence[str]) -> None:
    """Warn of fields that may change what is computed."""
    if names:
        warnings.warn(
            f"{place}: {one_line(', '.join(names))}: not known here, and left out of account; if it changes what the "
            "model computes, the results are another model's",
            ModelWarning,
            stacklevel=3,
        )
