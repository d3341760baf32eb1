"""Eight-bit floats for weights and activations: one scale for all of a weight, and one for all of x."""

from attnlab.bench.llm.codes import FP8_E4M3
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.scaled import ScaledCodec

FORMAT = WeightFormat(
    "fp8_e4m3",
    "float8 e4m3, activations too, one scale for each tensor",
    ScaledCodec(FP8_E4M3, "tensor"),
    activations="fp8_tensor",
    rows_apart=False,
)
