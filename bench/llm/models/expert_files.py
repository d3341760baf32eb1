"""Experts as files of gpt-oss hold them: gate and up by turns in one tensor, matrices with their inputs first."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.models.assembly import HUGGINGFACE_NAMES, Naming, TensorSource
from attnlab.bench.llm.models.weights import EXPERT

BOTH, DOWN = "mlp.experts.gate_up_proj", "mlp.experts.down_proj"
PLACE = "model.layers.{}."
EXPERT_NAMES = Naming(
    outer=HUGGINGFACE_NAMES.outer,
    layer={
        **HUGGINGFACE_NAMES.layer,
        "output_bias": f"{PLACE}self_attn.o_proj.bias",
        "sinks": f"{PLACE}self_attn.sinks",
        f"{EXPERT}router": f"{PLACE}mlp.router.weight",
        f"{EXPERT}router_bias": f"{PLACE}mlp.router.bias",
        f"{EXPERT}gate": f"{PLACE}{BOTH}[gate]",
        f"{EXPERT}up": f"{PLACE}{BOTH}[up]",
        f"{EXPERT}down": f"{PLACE}{DOWN}",
        f"{EXPERT}gate_bias": f"{PLACE}{BOTH}_bias[gate]",
        f"{EXPERT}up_bias": f"{PLACE}{BOTH}_bias[up]",
        f"{EXPERT}down_bias": f"{PLACE}{DOWN}_bias",
    },
)
"""`[gate]` and `[up]` are the even and the odd columns of the tensor named before."""
HALVES = ("[gate]", "[up]")


class ExpertTensors:
    """Tensors of such a file under `EXPERT_NAMES`, each matrix `[E, out, in]`."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source

    def shapes(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for name, shape in self._source.shapes().items():
            turned = shape[:-2] + shape[:-3:-1] if _is_matrix(name) else shape
            if BOTH in name:
                half = (turned[-2] // 2, turned[-1]) if _is_matrix(name) else (shape[-1] // 2,)
                found |= {f"{name}{side}": (*shape[:1], *half) for side in HALVES}
            else:
                found[name] = turned
        return found

    def place(self, name: str) -> str:
        return self._source.place(_stored(name))

    def check(self, name: str) -> None:
        self._source.check(_stored(name))

    def tensor(self, name: str) -> Tensor:
        stored = self._source.tensor(_stored(name))
        for first, side in enumerate(HALVES):
            if name.endswith(side):
                stored = stored[..., first::2]
        return stored.mT.contiguous() if _is_matrix(_stored(name)) else stored.contiguous()


def written_experts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under `EXPERT_NAMES` as such a file has them."""
    made: dict[str, Tensor] = {}
    for name, x in state.items():
        stored = x.mT if _is_matrix(_stored(name)) else x
        if name.endswith(HALVES[0]):
            other = state[_stored(name) + HALVES[1]]
            stored = torch.stack([stored, other.mT if _is_matrix(_stored(name)) else other], -1).flatten(-2)
        if not name.endswith(HALVES[1]):
            made[_stored(name)] = stored.contiguous()
    return made


def _stored(name: str) -> str:
    """The name that the file has."""
    return name.partition("[")[0]


def _is_matrix(name: str) -> bool:
    return name.endswith((BOTH, DOWN))
