"""Our own kernel in Triton for storing new tokens."""

from __future__ import annotations

from typing import Any

from attnlab.bench import AppendInputs, DecodeCase, Needs, implements
from attnlab.impls import _cache, _triton
from attnlab.impls._row_space import head_space
from attnlab.impls._tuned import TunedKernel

PROGRAM_S = 0.005  # the interpreter's time for a program


def _built_in(case: DecodeCase) -> Any:
    from attnlab.kernels.triton.kv_append import row_tiling

    return row_tiling(case.kv_heads, case.head_dim)


def _shape(case: DecodeCase) -> tuple[dict[str, int | str], dict[str, int]]:
    exact: dict[str, int | str] = {
        "dtype": case.dtype,
        "head_dim": case.head_dim,
        "cache": case.cache,
        "layout": str(case.layout),
    }
    return exact, {"tokens": case.batch * case.q_len, "heads": case.kv_heads}


SPACE = head_space(_built_in, lambda case: case.kv_heads, _shape)


@implements("kv_append", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernels: a launch for keys and one for values; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("kv_append/triton", SPACE, _built_in, where="k")

    def supports(self, case: DecodeCase) -> str | None:
        if case.head_dim > _triton.LARGEST_HEAD_DIM:
            return f"head size {case.head_dim} is not served: {_triton.LARGEST_HEAD_DIM} at most"
        return _triton.too_slow(_triton.CHECK_RUNS * 2 * case.batch * case.q_len * case.kv_heads * PROGRAM_S)

    def state(self, case: DecodeCase, tiling: Any) -> tuple[tuple[str, str], Any]:
        return _cache.CODECS[case.cache], tiling

    def run(self, inputs: AppendInputs, state: Any = None) -> None:
        from attnlab.kernels.triton.kv_append import Place, kv_append

        (of_keys, of_values), tiling = state
        cache = inputs.cache
        place = Place(cache.page_tokens, cache.table, cache.layout.wraps)
        kv_append(inputs.k, cache.keys.planes, inputs.starts, of_keys, place, cache.recent, tiling)
        kv_append(inputs.v, cache.values.planes, inputs.starts, of_values, place, tiling=tiling)
