"""Of each four neighbours the two whose magnitude times that of their activations is largest.

Technique: Wanda (Sun et al., 2024, arXiv:2306.11695): the norm of a column's activations over the calibration tokens.
"""

from __future__ import annotations

from torch import Tensor

from attnlab.bench.llm.quantization.choosing import Chosen, Method
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.formats.sparse_2_4 import KEPT, SIZE, SparseCodec, largest_two
from attnlab.bench.llm.quantization.weight import stored


def choose(weight: Tensor, format: WeightFormat, activations: Tensor | None) -> Chosen:
    assert activations is not None
    steps = {KEPT: largest_two((weight.abs() * activations.norm(dim=0)).unflatten(1, (-1, SIZE)))}
    codes = format.codec.codes(weight.unflatten(1, (-1, SIZE)), steps)
    return Chosen(stored(weight, format, codes, steps))


def refuses(format: WeightFormat) -> str | None:
    if isinstance(format.codec, SparseCodec):
        return None
    return "it chooses which numbers are left out, and this format leaves none out; take it with sparse_2_4"


METHOD = Method("wanda", "Wanda: by magnitude times activations", choose, True, refuses)
