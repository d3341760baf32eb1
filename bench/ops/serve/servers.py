"""The servers that cases name: addresses from `[servers.NAME]` tables and from the command line.

Every process of a run must know them, workers too, which are started with a case's id alone: so they stand in a
variable of the environment, which children inherit. A key is never among them: it is read from the variable that
`key_env` names when a request is made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from attnlab.bench.errors import Unavailable, UsageError
from attnlab.bench.serving.service import Limits, Retries, Service

VARIABLE = "ATTNLAB_SERVERS"
EXTRA = "servers"
"""Key of `RunRecord.extra`: the servers that a run named, as they were."""
EMBEDDED = "embedded"
"""What the axis `server` says where no server is named: ours is started."""


def known() -> dict[str, Service]:
    """All servers that this process knows, by name."""
    try:
        stored: Mapping[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
        return {name: from_stored(table) for name, table in stored.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{VARIABLE} holds no servers ({error}); unset it: a suite's [servers.NAME] say it") from None


def register(servers: Mapping[str, Service]) -> None:
    """Make servers known to this process and to those that it starts; one of the same name is replaced."""
    if servers:
        everything = known() | dict(servers)
        os.environ[VARIABLE] = json.dumps({name: stored(service) for name, service in everything.items()})


def named(name: str) -> Service:
    """The server of that name; raises Unavailable where this process knows none."""
    found = known()
    if name not in found:
        told = ", ".join(sorted(found)) or "none"
        raise Unavailable(
            f"no server {name!r} is known here (known: {told}); give its address: a [servers.{name}] table in the "
            f"suite's file, or --server {name}=URL"
        )
    return found[name]


def stored(service: Service) -> dict[str, Any]:
    """A server as a run keeps it; what is at its default is left out. It holds no key."""
    default = Service(service.url)
    changed = [
        f.name for f in fields(Service) if f.name == "url" or getattr(service, f.name) != getattr(default, f.name)
    ]
    return {name: value for name, value in asdict(service).items() if name in changed}


def extra_of(servers: Mapping[str, Service]) -> dict[str, Any]:
    """As a run's record keeps them; {} of none."""
    return {EXTRA: {name: stored(service) for name, service in servers.items()}} if servers else {}


def from_stored(table: Mapping[str, Any]) -> Service:
    """A server from what `stored` gave."""
    given = dict(table)
    if (retries := given.pop("retries", None)) is not None:
        given["retries"] = Retries(**{**retries, "kinds": tuple(retries["kinds"])})
    if (limits := given.pop("limits", None)) is not None:
        given["limits"] = Limits(**limits)
    return Service(**given)
