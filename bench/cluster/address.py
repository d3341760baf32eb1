"""Where a cluster is, as `--on` says it; nothing heavy is imported for that."""

from __future__ import annotations

import re

from attnlab.bench.errors import UsageError

RAY = "ray"


def read_address(text: str) -> str:
    """`ray` or `ray://host:port`, as it stands; raises UsageError on another."""
    if text == RAY or re.fullmatch(r"ray://[^\s/:]+:\d{1,5}", text):
        return text
    more = "; any other scheduler runs parts of a suite with --shard" if not text.startswith("ray") else ""
    raise UsageError(f"got --on {text!r}; expected ray (this machine, or RAY_ADDRESS), or ray://HOST:PORT{more}")


def port_of(address: str) -> tuple[str, int]:
    """Host and port of `ray://host:port` or `host:port`; raises UsageError where there are none."""
    found = re.fullmatch(r"(?:ray://)?([^\s/:]+):(\d{1,5})", address)
    if found is None:
        raise UsageError(f"got the address {address!r} (RAY_ADDRESS); expected HOST:PORT or ray://HOST:PORT")
    return found[1], int(found[2])
