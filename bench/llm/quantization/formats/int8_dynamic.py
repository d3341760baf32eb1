"""Eight bits for weights and for activations (W8A8): a scale for each row of both."""

from attnlab.bench.llm.codes import INT8
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.scaled import ScaledCodec

FORMAT = WeightFormat(
    "int8_dynamic", "int8, activations too, a scale for each token", ScaledCodec(INT8), activations="int8_token"
)
