"""Eight bits, symmetric, a scale for each row of the weight; activations stay as they are (W8A16)."""

from attnlab.bench.llm.codes import INT8
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.scaled import ScaledCodec

FORMAT = WeightFormat("int8", "int8, a scale for each output channel", ScaledCodec(INT8))
