"""`--server` and `--key-env`: a server without a suite's file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attnlab.bench.errors import ServiceError, UsageError

DEFAULT = "server"
"""What a server is called that has no name."""
AXIS = "server"
NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def with_servers(given: Sequence[str], keys: Sequence[str], axes: Mapping[str, Any]) -> dict[str, Any]:
    """Make servers of the command line known, and the axes with them where those name none. Raises UsageError."""
    if not given and not keys:
        return dict(axes)
    from dataclasses import replace

    from attnlab.bench.ops.serve import servers
    from attnlab.bench.serving.service import Service

    found: dict[str, Service] = {}
    for text in given:
        name, url = _parted(text)
        if name in found:
            raise UsageError(f"server {name!r} is given twice; give each --server a NAME=URL of its own")
        if name == servers.EMBEDDED:
            raise UsageError(f"got --server {name}=…; expected another name: {name} is the one that is started")
        try:
            found[name] = Service(url)
        except ServiceError as error:
            raise UsageError(f"--server: {error}") from None
    for text in keys:
        name, variable = _parted(text)
        if name not in found:
            told = ", ".join(found) or "none"
            raise UsageError(f"got --key-env of server {name!r}, and servers {told}; expected --key-env NAME=VARIABLE")
        try:
            found[name] = replace(found[name], key_env=variable)
        except ServiceError as error:
            raise UsageError(f"--key-env: {error}") from None
    servers.register(found)
    return dict(axes) if AXIS in axes else {**axes, AXIS: list(found)}


def _parted(text: str) -> tuple[str, str]:
    """A name and what stands behind it; an address may have a `=` too, behind its `?`."""
    named = NAMED.fullmatch(text)
    return (named[1], named[2]) if named else (DEFAULT, text)
