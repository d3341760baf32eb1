"""The parts of a decoder, each an implementation chosen by name from the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from attnlab.bench import OURS, Implementation, LinearCase, Unavailable, import_named, registry
from attnlab.bench.llm import spanned

Kernel = Callable[[Any], Any]
"""An implementation that is set up for one case: inputs -> output."""

OPERATORS = {
    "prompt_attention": "attention",
    "attention": "decode_attention",
    "append": "kv_append",
    "norm": "rmsnorm",
    "rope": "rope",
    "activation": "swiglu",
    "gelu": "gelu",
    "linear": "linear",
    "prompt_linear": "linear",
    "other_linear": "linear",
    "embedding": "embedding",
    "sampling": "sampling",
}
"""The operator that each part implements."""


@dataclass(frozen=True)
class Parts:
    """Names of implementations: of attention over a prompt, over a cache, of storing tokens, and of what is between.

    linear is for the passes of few rows that decoding makes, prompt_linear for those of a prompt; other_linear for
    weights in a format that these do not serve. gelu takes the place of activation in models whose gate has it.
    """

    prompt_attention: str = "naive"
    attention: str = "naive"
    append: str = "eager"
    norm: str = "naive"
    rope: str = "naive"
    activation: str = "naive"
    gelu: str = "naive"
    linear: str = "naive"
    prompt_linear: str = "naive"
    other_linear: str = "dequantised"
    embedding: str = "naive"
    sampling: str = "naive"

    @property
    def keys(self) -> tuple[str, ...]:
        """Such as `rope/triton`, each once."""
        return tuple(dict.fromkeys(f"{OPERATORS[f.name]}/{getattr(self, f.name)}" for f in fields(self)))

    def implementation(self, part: str) -> Implementation:
        """The implementation of a part; ours are imported when asked for. Raises UnknownName."""
        operator, name = OPERATORS[part], getattr(self, part)
        if operator not in registry.operators:
            import_named("attnlab.bench.ops", operator)
        if name not in registry.implementations(operator):
            import_named(f"{OURS}.{operator}", name)
        return registry.implementations(operator).get(name)

    def linear_for(self, case: LinearCase, part: str) -> str:
        """The part that multiplies by a weight as the case stores it: `part` where it serves that format."""
        if case.stored_as is None or self.implementation(part).supports(case) is None:
            return part
        return "other_linear"

    def kernel(self, part: str, case: Any, inputs: Any) -> Kernel:
        """A part, set up for a case; raises Unavailable where it cannot serve it."""
        implementation = self.implementation(part)
        reason = implementation.supports(case)
        if reason is not None:
            raise Unavailable(f"{implementation.key} of {case.id}: {reason}")
        run, state = implementation.run, implementation.prepare(case, inputs)
        return spanned(f"{part}: {implementation.key}", lambda now: run(now, state))

    def __str__(self) -> str:
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in fields(self))


QUICK_ON_CPU = Parts(
    prompt_attention="sdpa_flash",
    attention="native",
    append="slices",
    norm="native",
    rope="native",
    activation="native",
    gelu="torch",
    linear="by_rows",
    prompt_linear="by_rows",
    embedding="torch",
    sampling="candidates",
)
"""The quickest that a CPU has for contiguous caches of the dtype itself."""
