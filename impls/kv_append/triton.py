"""Our own kernel in Triton for storing new tokens."""

from __future__ import annotations

from attnlab.bench import AppendInputs, DecodeCase, Needs, implements
from attnlab.impls import _cache, _triton

PROGRAM_S = 0.005  # the interpreter's time for a program


@implements("kv_append", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernels: a launch for keys and one for values; interpreted and untimed without a GPU."""

    def supports(self, case: DecodeCase) -> str | None:
        if case.head_dim > _triton.LARGEST_HEAD_DIM:
            return f"head size {case.head_dim} is not served: {_triton.LARGEST_HEAD_DIM} at most"
        return _triton.too_slow(_triton.CHECK_RUNS * 2 * case.batch * case.q_len * case.kv_heads * PROGRAM_S)

    def prepare(self, case: DecodeCase, inputs: AppendInputs) -> tuple[str, str]:
        _triton.require_device(inputs.k)
        if inputs.k.is_cuda:
            self.run(inputs, _cache.CODECS[case.cache])  # compiles
        return _cache.CODECS[case.cache]

    def run(self, inputs: AppendInputs, codecs: tuple[str, str]) -> None:
        from attnlab.kernels.triton.kv_append import Place, kv_append

        cache = inputs.cache
        place = Place(cache.page_tokens, cache.table, cache.layout.wraps)
        kv_append(inputs.k, cache.keys.planes, inputs.starts, codecs[0], place, cache.recent)
        kv_append(inputs.v, cache.values.planes, inputs.starts, codecs[1], place)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
