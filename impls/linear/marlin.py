"""A linear layer with int4 weights by Marlin, as vLLM brings it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls._dtypes import dtype_limits
from attnlab.impls.linear._codes import coded, group_size, int4_codes, only_formats, scales

NIBBLES = 8  # of an int32
UTILS = "vllm.model_executor.layers.quantization.utils.marlin_utils"


@implements(
    "linear",
    name="marlin",
    needs=Needs(device="cuda", capability=(8, 0), packages=("vllm",)),
    serves={"format": ("int4_g32", "int4_g64", "int4_g128")},
    unverified="vllm 0.33.0, _custom_ops.gptq_marlin_repack(codes int32 [K / 8, N], perm, k, n, 4), "
    "marlin_utils.apply_gptq_marlin_linear(x, weight, scales, zeros, g_idx, order, workspace, uint4b8, n, k, …)",
)
class Marlin:
    """Marlin for symmetric int4, sums of parts in float32: repacked in set-up, scales rounded to x's dtype there."""

    def supports(self, case: LinearCase) -> str | None:
        if case.n % 64 or case.k % 128:
            return f"N={case.n}, K={case.k} is not served: N a multiple of 64 and K of 128 only"
        return only_formats(case) or dtype_limits(case.dtype)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> Callable[[Tensor], Tensor]:
        operators, utils = importlib.import_module("vllm._custom_ops"), importlib.import_module(UTILS)
        kind = importlib.import_module("vllm.scalar_type").scalar_types.uint4b8
        weight, device = coded(inputs), inputs.x.device
        nothing = torch.empty(0, dtype=torch.int32, device=device)
        shifts = 4 * torch.arange(NIBBLES, dtype=torch.int32, device=device)
        eight = int4_codes(weight).T.int().unflatten(0, (-1, NIBBLES))  # [K / 8, 8, N]
        words = (eight << shifts[:, None]).sum(1, dtype=torch.int32)
        packed = operators.gptq_marlin_repack(words.contiguous(), nothing, case.k, case.n, 4)
        scale = scales(weight, inputs.x.dtype).T.contiguous()
        scale = utils.marlin_permute_scales(scale, case.k, case.n, group_size(weight))
        bias = None if inputs.bias is None else utils.marlin_permute_bias(inputs.bias)
        workspace = utils.marlin_make_workspace_new(device)

        def product(x: Tensor) -> Tensor:
            out: Tensor = utils.apply_gptq_marlin_linear(
                x,
                packed,
                scale,
                nothing,
                nothing,
                nothing,
                workspace,
                kind,
                case.n,
                case.k,
                is_k_full=True,
                bias=bias,
                use_fp32_reduce=True,
            )
            return out

        return product

    def run(self, inputs: LinearInputs, product: Callable[[Tensor], Tensor]) -> Tensor:
        return product(inputs.x)
