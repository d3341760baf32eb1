"""A tensor-parallel MLP with one all-reduce at its end."""

from __future__ import annotations

from attnlab.bench import implements
from attnlab.impls.tensor_parallel_linear._mlp import RankMlp
from attnlab.impls.tensor_parallel_linear._sums import all_reduced


@implements("tensor_parallel_linear", name="all_reduce")
class AllReduce(RankMlp):
    """Parts of the output are summed by one all-reduce (Shoeybi et al., arXiv:1909.08053); so are gradients by x."""

    total = staticmethod(all_reduced)
