"""GPTQ with columns taken in the order of their activations' size, the largest first.

Columns keep their place in groups, whose steps are fitted to the original weight before all columns, so that nothing is
stored of the order.
"""

from __future__ import annotations

from functools import partial

from attnlab.bench.llm.quantization.choosing import Method
from attnlab.bench.llm.quantization.compensating import choose_in_order, refuses_pruning

METHOD = Method(
    "gptq_act_order",
    "GPTQ, columns of large activations first",
    partial(choose_in_order, largest_first=True),
    True,
    refuses_pruning,
)
