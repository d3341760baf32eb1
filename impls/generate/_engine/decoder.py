"""A decoder of the Llama, Qwen and Gemma families: embedding, layers of attention and gated MLP, and a head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attnlab.bench import EmbeddingInputs, ModelWeights, RmsNormInputs, RopeInputs
from attnlab.bench.llm import embedding_scale, rotary_tables, soft_capped
from attnlab.impls.generate._engine.kernels import KernelSetup
from attnlab.impls.generate._engine.layer import FusedLayer
from attnlab.impls.generate._engine.parts import Kernel, Parts

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""attend(layer, q [B, S, Hq, D], k and v [B, S, Hkv, D]) -> [B, S, Hq, D]: stores the new tokens, then attends."""


class Decoder:
    """A model whose parts are chosen by name. Weights are fused where that makes one product of several: with a copy,
    unless `ModelWeights.joined` has them side by side already.

    positions: how many there may be; the tables of RoPE are made for so many. total: of a rank that has a part of each
    layer, what sums over ranks what attention gives, and the MLP; None of a whole model.
    """

    def __init__(
        self, weights: ModelWeights, parts: Parts, positions: int, total: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.weights, self.config = weights, weights.config
        self.layers = [FusedLayer.fuse(layer) for layer in weights.layers]
        self.positions, self.total = positions, total
        self.tables = [self._tables(local) for local in (False, True)]
        self.kernels = KernelSetup(weights, self.layers, parts, self.tables[0])

    @property
    def device(self) -> torch.device:
        return self.weights.device

    @property
    def dtype(self) -> torch.dtype:
        return self.weights.dtype

    @torch.inference_mode()
    def embedded(self, ids: Tensor) -> Tensor:
        """What goes into the first layer, [B · S, H], for ids [B, S]."""
        embed = self.kernels.of_shape(*ids.shape).embed
        x: Tensor = embed(EmbeddingInputs(ids.reshape(-1), self.weights.embedding))
        return x * embedding_scale(self.config, self.dtype) if self.config.scaled_embedding else x

    @torch.inference_mode()
    def hidden_states(self, ids: Tensor, positions: Tensor, attend: Attend, last: bool = False) -> Tensor:
        """What the last layer gives, [B, S, H], for ids and positions [B, S] int64 on the model's device.

        last: only of the last token, [B, 1, H]; after the last attention no other has a use.
        """
        kernels = self.kernels.of_shape(*ids.shape)
        batch, length = ids.shape
        config, eps = self.config, self.config.norm_eps
        sizes = [config.q_heads, config.kv_heads, config.kv_heads]
        x = self.embedded(ids)
        for index, layer in enumerate(self.layers):
            normed = kernels.norm(RmsNormInputs(x, layer.attention_norm, eps))
            qkv = kernels.qkv[index](normed)
            q, k, v = qkv.view(batch, length, -1, config.head_dim).split(sizes, 2)
            q = _norm_heads(kernels.query_norm, q, layer.query_norm, eps)
            k = _norm_heads(kernels.key_norm, k, layer.key_norm, eps)
            cos, sin = self.tables[config.is_local(index)]
            q, k = kernels.rope(RopeInputs(q, k, cos, sin, positions))
            attended = attend(index, q, k, v)
            if last and index + 1 == len(self.layers):
                attended, x, length = attended[:, -1:], x.view(batch, length, -1)[:, -1], 1
                kernels = self.kernels.of_shape(batch, 1)
            attended = attended.reshape(batch * length, -1)
            branch = self._of_all_ranks(kernels.output[index](attended))
            x = x + _norm_rows(kernels.norm, branch, layer.attention_branch_norm, eps)
            normed = kernels.norm(RmsNormInputs(x, layer.mlp_norm, eps))
            branch = self._of_all_ranks(kernels.mlp[index](normed))
            x = x + _norm_rows(kernels.norm, branch, layer.mlp_branch_norm, eps)
        out: Tensor = x.view(batch, length, -1)
        return out

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """The head over hidden [B, S, H] -> [B, S, V] in the model's dtype."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        norm, head = self.kernels.of_head(len(rows))
        normed = norm(RmsNormInputs(rows, self.weights.output_norm, self.config.norm_eps))
        out: Tensor = head(normed).view(*hidden.shape[:2], -1)
        cap = self.config.logit_softcap
        return out if cap is None else soft_capped(out.float(), cap).to(self.dtype)

    def _of_all_ranks(self, branch: Tensor) -> Tensor:
        return branch if self.total is None else self.total(branch)

    def _tables(self, local: bool) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every position, float32 [P, D/2], worked out on the CPU."""
        cos, sin = rotary_tables(self.config, torch.arange(self.positions), local)
        return cos.float().to(self.device), sin.float().to(self.device)


def _norm_rows(norm: Kernel, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Rows x [M, N], normed where there is a weight [N]."""
    if weight is None:
        return x
    out: Tensor = norm(RmsNormInputs(x, weight, eps))
    return out


def _norm_heads(norm: Kernel | None, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Heads x [B, S, H, D], each normed where there is a weight [D]."""
    if norm is None or weight is None:
        return x
    return _norm_rows(norm, x.reshape(-1, x.shape[-1]), weight, eps).view(x.shape)
