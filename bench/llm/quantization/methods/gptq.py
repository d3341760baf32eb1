"""One column after the other, the others making up for what each loses in the layer's output.

Technique: GPTQ (Frantar et al., 2023, arXiv:2210.17323). The Hessian is that of the squared error of the output on the
calibration activations, damped by how few tokens there are, see `compensating.damping`. A group's steps are fitted when
its first column is reached, to what the columns before it have made of it; steps of all rows, before any column.
"""

from __future__ import annotations

from attnlab.bench.llm.quantization.choosing import Method
from attnlab.bench.llm.quantization.compensating import choose_in_order, refuses_pruning

METHOD = Method("gptq", "GPTQ: later columns make up for earlier ones", choose_in_order, True, refuses_pruning)
