"""Which nodes of a cluster measure a run: those of one kind, so that their figures may stand in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench.cluster.fleet import Node
from attnlab.bench.cluster.orders import Described
from attnlab.bench.errors import ClusterError
from attnlab.bench.store.likeness import differences, kind_of

ANY = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Chosen:
    """Nodes of one kind, the machine that all are like, and why others are not among them."""

    like: Described
    nodes: tuple[Node, ...]
    left_out: dict[str, str]


def choose(described: Sequence[tuple[Node, Described]], wanted: str) -> Chosen:
    """The nodes that measure; `wanted`: auto, cpu, cuda, or a part of the name of a kind.

    Several kinds of device are never mixed: one has to be named. Of nodes with one device that differ in software the
    most that are alike are taken. Raises ClusterError where it is not clear which.
    """
    kinds: dict[str, list[tuple[Node, Described]]] = {}
    for node, one in described:
        kinds.setdefault(kind_of(one.machine), []).append((node, one))
    if wanted not in ANY:
        kinds = {name: held for name, held in kinds.items() if wanted.lower() in name.lower()} or _none(wanted, kinds)
    if len(kinds) > 1:
        names = "; ".join(f"{name!r} ({', '.join(str(node) for node, _ in held)})" for name, held in kinds.items())
        raise ClusterError(
            f"the cluster has {len(kinds)} kinds of device, whose figures cannot stand in one table: {names}; name one "
            "with --device, and take a run for each"
        )
    ((_, members),) = kinds.items()
    alike: list[list[tuple[Node, Described]]] = []
    for member in members:
        group = next((g for g in alike if not unlike(g[0][1], member[1])), None)
        alike.append([member]) if group is None else group.append(member)
    most = max(alike, key=len)
    like = most[0][1]
    others = [member for group in alike if group is not most for member in group]
    return Chosen(like, tuple(node for node, _ in most), {str(node): "; ".join(unlike(like, d)) for node, d in others})


def unlike(like: Described, other: Described) -> list[str]:
    """What tells two nodes apart, in words: machines, and what their packages make of implementations."""
    told = differences(like.machine, other.machine)
    for name in dict.fromkeys([*like.prints, *other.prints]):
        one, another = like.prints.get(name), other.prints.get(name)
        if one != another:
            told.append(f"code or packages of {name} {one} and {another}")
    return told


def _none(wanted: str, kinds: dict[str, list[tuple[Node, Described]]]) -> dict[str, list[tuple[Node, Described]]]:
    known = ", ".join(map(repr, kinds))
    raise ClusterError(f"no node has a device of kind {wanted!r}; the cluster has: {known}")
