"""A cluster to plan for: kinds of nodes, what they cost, how they fail and how late they come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from attnlab.bench.errors import UsageError
from attnlab.bench.toml_file import TomlFile, is_number, is_whole, read_toml

MOST_NODES = 100_000
MOST_ATTEMPTS = 100
DEVICES = ("cpu", "cuda")
REMEDY = "give a number of nodes, or the path of a file with [[nodes]]"


@dataclass(frozen=True)
class NodeKind:
    """Nodes that are alike; each measures one bundle at a time. Times in seconds, of failures in hours.

    speed: how many times as fast as the device that the plan is for. slow_share, slow_factor: of stragglers, which take
    so many times as long. queue_s: how long a node is waited for, on average; start_s: until it is ready then.
    hours_between_failures: of one node, on average. notice_s: until its loss is noticed; repair_s: until another stands
    in for it, infinite where none does. price: of an hour of a node, in whatever currency; None where not known.
    """

    name: str = "node"
    count: int = 1
    speed: float = 1.0
    slow_share: float = 0.02
    slow_factor: float = 1.5
    queue_s: float = 0.0
    start_s: float = 60.0
    hours_between_failures: float = 5_000.0
    notice_s: float = 60.0
    repair_s: float = 600.0
    price: float | None = None


@dataclass(frozen=True)
class Cluster:
    """Nodes for one kind of device. device: "cpu" or "cuda", nominal ones; None: the device that is here.

    spread: by how much the time of a bundle lies off its estimate, as the standard deviation of its logarithm.
    attempts: how often a bundle is begun at most.
    """

    nodes: tuple[NodeKind, ...]
    device: str | None = None
    spread: float = 0.3
    attempts: int = 3

    @property
    def count(self) -> int:
        return sum(kind.count for kind in self.nodes)

    def of(self, count: int) -> Cluster:
        """The same with so many nodes in all, of each kind its share; the first kinds have what rounding leaves."""
        whole, given, nodes = 0, 0, []
        for kind in self.nodes:
            whole += kind.count
            upto = -(-whole * count // self.count)
            nodes.append(replace(kind, count=upto - given))
            given = upto
        return replace(self, nodes=tuple(kind for kind in nodes if kind.count))


class _ClusterFile(TomlFile):
    tables: ClassVar[str] = "nodes"


TOP_KEYS = ("device", "spread", "attempts", "nodes")
NODE_KEYS = tuple(field.name for field in fields(NodeKind))
SHARES, POSITIVE, MAY_BE_ZERO = ("slow_share",), ("speed", "hours_between_failures"), ("queue_s", "start_s", "notice_s")


def read_cluster(text: str) -> Cluster:
    """The cluster that `--nodes 64` or `--nodes cluster.toml` means; raises UsageError, with file and line."""
    if text.strip().isdigit():
        count = int(text)
        if not 1 <= count <= MOST_NODES:
            raise UsageError(f"got --nodes {text}; expected 1 to {MOST_NODES:,} nodes")
        return Cluster((NodeKind(count=count),))
    if not text.endswith(".toml"):
        raise UsageError(
            f"got --nodes {text!r}; expected a number of nodes, such as 64, or a .toml file with [[nodes]]"
        )
    path = Path(text)
    source, data = read_toml(path, REMEDY)
    return _cluster(_ClusterFile(path, source), data)


def _cluster(file: _ClusterFile, data: Mapping[str, Any]) -> Cluster:
    file.no_other_keys(data, TOP_KEYS, "a cluster")
    tables = file.expect(data, "nodes", list, "one or more [[nodes]] tables")
    if not tables or not all(isinstance(table, dict) for table in tables):
        raise file.wrong("nodes", "expected one [[nodes]] table or more, each with its count")
    device, spread, attempts = data.get("device"), data.get("spread", Cluster.spread), data.get("attempts", 3)
    if device is not None and device not in DEVICES:
        raise file.unexpected("device", device, '"cpu" or "cuda"')
    if not is_number(spread) or not 0 <= spread <= 3:
        raise file.unexpected("spread", spread, "0 to 3")
    if not is_whole(attempts) or not 1 <= attempts <= MOST_ATTEMPTS:
        raise file.unexpected("attempts", attempts, f"1 to {MOST_ATTEMPTS}")
    nodes = tuple(_kind(file, table, number) for number, table in enumerate(tables))
    if sum(kind.count for kind in nodes) > MOST_NODES:
        raise file.wrong("count", f"expected at most {MOST_NODES:,} nodes in all")
    return Cluster(nodes, device, float(spread), attempts)


def _kind(file: _ClusterFile, table: Mapping[str, Any], number: int) -> NodeKind:
    file.no_other_keys(table, NODE_KEYS, "[[nodes]]", number)
    name = file.expect(table, "name", str, "a text", number)
    count = file.expect(table, "count", int, "a whole number of nodes", number)
    if count is None or count < 1:
        raise file.unexpected("count", count, "a whole number of nodes, 1 or more", number)
    for key, value in table.items():
        if key not in ("name", "count"):
            _check_number(file, key, value, number)
    given = {key: float(value) for key, value in table.items() if key not in ("name", "count")}
    return NodeKind(name or f"nodes {number + 1}", count, **given)


def _check_number(file: _ClusterFile, key: str, value: object, number: int) -> None:
    words, least, most = "a number of 0 or more", 0.0, math.inf
    if key in SHARES:
        words, most = "a share from 0 to 1", 1.0
    elif key == "slow_factor":
        words, least = "a number of 1 or more", 1.0
    elif key in POSITIVE:
        words, least = "a number above zero", math.ulp(0.0)
    endless = key in ("repair_s", "hours_between_failures")
    if not is_number(value) or not least <= float(str(value)) <= most or (value == math.inf and not endless):
        raise file.unexpected(key, value, words, number)
