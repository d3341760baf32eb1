"""What the server holds to: how much it takes on, and how long it waits for others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """Bounds, beyond which a request is refused or a connection closed.

    waiting: requests that wait for the engine. body_bytes: of one request. connections: open at a time, beyond which
    the one that has been idle for longest is closed. idle_s: how long one may be open without asking anything.
    write_s: how long a reader may take for one piece of an answer. grace_s: how long answers may go on once the server
    is told to end.
    """

    waiting: int = 256
    body_bytes: int = 4 * 2**20
    connections: int = 4096
    idle_s: float = 75.0
    write_s: float = 60.0
    grace_s: float = 10.0
