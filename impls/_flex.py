"""Masks and scores of FlexAttention as functions of positions, which kernels and blocks of the mask are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionInputs, DecodeInputs, Mask
from attnlab.impls import _compile

Sees = Callable[[Tensor, Tensor, Any], Tensor]
Placed = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class State:
    """The compiled function and its keywords: the blocks of keys that each block of queries visits, and the rest."""

    attend: Callable[..., Tensor]
    keywords: dict[str, Any]


def sees(mask: Mask, device: torch.device) -> Sees | None:
    """Whether a query at a position sees the key at another, of a sequence of so many keys; None where it sees all."""
    size = mask.size or 0
    if mask.kind == "full":
        return None
    if mask.kind == "window":
        return lambda position, key, length: (key <= position) & (key > position - size)
    if mask.kind == "chunked":
        return lambda position, key, length: (key <= position) & (key // size == position // size)
    if mask.kind == "prefix":
        return lambda position, key, length: (key <= position) | (key < size)
    if mask.kind == "document":
        lengths = torch.tensor(mask.documents, device=device)
        document = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
        return lambda position, key, length: (key <= position) & (document[key] == document[position])
    if mask.kind == "tree":
        return _of_tree(mask, device)
    return lambda position, key, length: key <= position


def _of_tree(mask: Mask, device: torch.device) -> Sees:
    nodes = len(mask.parents) + 1
    above = mask.permitted(torch.arange(nodes, device=device), nodes, nodes)  # the tree alone, [nodes, nodes]

    def seen(position: Tensor, key: Tensor, length: Any) -> Tensor:
        begin = length - nodes
        row, column = (position - begin).clamp(0, nodes - 1), (key - begin).clamp(0, nodes - 1)
        seen_here: Tensor = (key < begin) | above[row, column]
        return seen_here

    return seen


def score_mod(inputs: AttentionInputs | DecodeInputs, placed: Placed, farthest: int) -> ScoreMod | None:
    """Cap and bias; None without either.

    placed(batch, query, key): the positions of a query and of a key. farthest: no two lie farther apart.
    """
    cap, bias = inputs.softcap, _bias(inputs, placed, farthest)
    if cap is None and bias is None:
        return None

    def changed(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        return score if bias is None else score + bias(batch, head, query, key)

    return changed


def _bias(inputs: AttentionInputs | DecodeInputs, placed: Placed, farthest: int) -> Callable[..., Tensor] | None:
    """(batch, head, query, key) -> what is added: looked up by distance, or in the bias itself."""
    table = inputs.bias_table
    if table is None:
        return None
    if inputs.bias.kind == "dense":
        return lambda batch, head, query, key: table[head, query, key]
    if inputs.bias.kind == "alibi":

        def sloped(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            position, token = placed(batch, query, key)
            return -table[head] * (position - token).abs()

        return sloped
    distances = torch.arange(-farthest, farthest + 1, device=table.device)
    by_distance = inputs.bias.of(table, distances, inputs.mask.is_causal)

    def looked_up(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        position, token = placed(batch, query, key)
        return by_distance[head, (token - position + farthest).clamp(0, 2 * farthest)]

    return looked_up


def compiled(keywords: dict[str, Any], changed: ScoreMod | None, sinks: Tensor | None) -> State:
    """FlexAttention through torch.compile, with what changes scores and with sinks."""
    from torch.nn.attention.flex_attention import flex_attention  # brings the compiler along, which takes seconds

    attend: Callable[..., Tensor] = flex_attention
    if changed is not None:
        keywords = keywords | {"score_mod": changed}
    if sinks is not None:
        attend, keywords = with_sinks(flex_attention), keywords | {"sinks": sinks}
    return State(_compile.compile_whole(attend), keywords)


def with_sinks(flex_attention: Callable[..., Any]) -> Callable[..., Tensor]:
    """FlexAttention with a score a head [Hq] more in the denominator, by the log-sum-exp that it gives beside."""
    from torch.nn.attention.flex_attention import AuxRequest  # imported here as above

    def attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, **keywords: Any) -> Tensor:
        out, beside = flex_attention(q, k, v, return_aux=AuxRequest(lse=True), **keywords)
        share = torch.sigmoid(beside.lse - sinks[:, None])[..., None]
        weighed: Tensor = (out * share).to(q.dtype)
        return weighed

    return attend
