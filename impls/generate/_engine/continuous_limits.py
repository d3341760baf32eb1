"""What cannot be served where requests join and leave between passes."""

from __future__ import annotations

from attnlab.bench import GenerateCase, Unavailable
from attnlab.impls.generate._engine.parts import Parts


def require_fixed_tokens(case: GenerateCase) -> None:
    """Raise Unavailable for formats in which a stored token depends on others: a text would depend on its company."""
    if case.format.group > 1:
        raise Unavailable(
            f"cache {case.cache} is not served in continuous batching: it encodes {case.format.group} tokens together, "
            f"and again with each new one, so that a text would depend on where its chunks end; take int8_token"
        )
    codecs = case.format.keys, case.format.values
    if not all(spec.grows for codec in codecs for spec in codec.planes(case.config.head_dim, case.torch_dtype)):
        raise Unavailable(
            f"cache {case.cache} is not served in continuous batching: its scales are set once for all sequences, so "
            f"that a text would depend on which request came first; take int8_token"
        )


def require_any_length(parts: Parts) -> None:
    """Raise Unavailable for parts that compile for each length, which is another one in every pass."""
    for part in ("prompt_attention", "attention", "append"):
        implementation = parts.implementation(part)
        if implementation.compiled:
            raise Unavailable(
                f"part {part} {implementation.name} is not served in continuous batching: it compiles for each length"
            )
