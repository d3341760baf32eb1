"""A tensor-parallel MLP whose sum is a reduce-scatter and an all-gather."""

from __future__ import annotations

from attnlab.bench import TensorParallelCase, implements
from attnlab.impls.tensor_parallel_linear._mlp import RankMlp
from attnlab.impls.tensor_parallel_linear._sums import scattered_and_gathered


@implements("tensor_parallel_linear", name="reduce_scatter")
class ReduceScatter(RankMlp):
    """Each rank sums its rows of the output, then gets those of the others, as sequence parallelism has them apart."""

    total = staticmethod(scattered_and_gathered)

    def supports(self, case: TensorParallelCase) -> str | None:
        if case.rows % case.world_size:
            return f"{case.rows} rows are not served by {case.world_size} ranks: a multiple of them only"
        return None
