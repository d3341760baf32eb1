"""Eight-bit floats for weights and activations, a scale for each row of both."""

from attnlab.bench.llm.codes import FP8_E4M3
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.scaled import ScaledCodec

FORMAT = WeightFormat(
    "fp8_e4m3_row",
    "float8 e4m3, activations too, a scale for each row and token",
    ScaledCodec(FP8_E4M3),
    activations="fp8_token",
)
