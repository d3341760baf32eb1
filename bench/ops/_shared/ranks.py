"""What cases of operators over several ranks share, beside collectives."""

from __future__ import annotations

from typing import Any

from attnlab.bench.contract.axes import size


def world_size_axis() -> Any:
    """How many ranks share the work."""
    return size("p", help="ranks", default=2)


def world_size(case: Any) -> int:
    """Of a case with that axis."""
    return int(case.world_size)
