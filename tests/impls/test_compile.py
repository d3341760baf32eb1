"""What the compiler does not serve is a reason, and what breaks in it is an error."""

from __future__ import annotations

import functools

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed, FailOnRecompileLimitHit
from torch._inductor.select_algorithm import NoValidChoicesError

from attnlab.bench import Unavailable
from attnlab.impls import _compile


def raising(error):
    def backend(graph, example_inputs):
        raise error

    return torch.compile(lambda x: x + 1, backend=backend, fullgraph=True)


def test_not_implemented_is_a_reason_in_one_line():
    with pytest.raises(Unavailable) as caught, _compile.refusals():
        raising(NotImplementedError("NYI: embedding dimension must be at least 16\n  target: flex"))(torch.ones(1))
    assert str(caught.value) == "torch.compile: NYI: embedding dimension must be at least 16"


def test_no_kernel_that_fits_is_a_reason():
    with pytest.raises(Unavailable) as caught, _compile.refusals():
        raising(NoValidChoicesError("No choices to select.\n  target: flex"))(torch.ones(1))
    assert str(caught.value) == "torch.compile: No choices to select."


def test_other_failures_stay_failures():
    with pytest.raises(BackendCompilerFailed, match="broken"), _compile.refusals():
        raising(ValueError("broken"))(torch.ones(1))


@torch._dynamo.config.patch(fail_on_recompile_limit_hit=False, recompile_limit=1)  # monkeypatch would lose them
def test_past_the_recompilation_limit_it_raises(monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    compiled = _compile.compile_whole(lambda x: x + 1)
    compiled(torch.ones(3))
    with pytest.raises(FailOnRecompileLimitHit):
        compiled(torch.ones(4))
