"""The service that is asked: its address, how a request is to be made, and where its key is found."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from attnlab.bench.errors import ServiceError

NONE: Mapping[str, Any] = MappingProxyType({})
MOST_PROCESSES = 64
SECRET_NAMES = re.compile(
    r"(api[-_]?key|access[-_]?token|auth(?!or)|(?<!idempotency)[-_]key$|[-_]token$|^key$|^token$|^sig|secret|passw|credential|cookie)",
    re.IGNORECASE,
)
SECRET_FIELDS = re.compile(r"(api[-_]?key|access[-_]?token|^key$|^token$|secret|passw|credential)", re.IGNORECASE)
GIVEN = ("authorization", "content-type", "content-length", "host", "accept", "accept-encoding", "connection")

MOST_RETRIES = 100


@dataclass(frozen=True)
class Retries:
    """When a request that failed is sent again; by default never. Its latency counts from the first due time.

    times: how often at most. kinds: failures that are worth it. A `Retry-After` of the server is kept, up to
    longest_s; without one the wait doubles from first_s on. A request of which a piece of the answer came is not
    sent again, or its tokens would be counted twice.
    """

    times: int = 0
    kinds: tuple[str, ...] = ("refused", "disconnected", "http_429", "http_502", "http_503", "http_504")
    first_s: float = 0.5
    longest_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.times <= MOST_RETRIES:
            raise ServiceError(f"got retries={self.times}; expected 0, which is none, to {MOST_RETRIES}")
        if not 0 <= self.first_s <= self.longest_s or not math.isfinite(self.longest_s):
            raise ServiceError(f"got waits of {self.first_s} to {self.longest_s} s; expected finite, rising ones")

    def wait_s(self, attempt: int, told_s: float | None) -> float:
        """How long to wait after an attempt, counted from 1."""
        return min(self.longest_s, self.first_s * 2 ** (attempt - 1) if told_s is None else max(0.0, told_s))


@dataclass(frozen=True)
class Limits:
    """What is taken of a server at most; beyond it a request fails, and memory stays bounded."""

    event_bytes: int = 4 << 20
    answer_bytes: int = 64 << 20
    pieces_a_token: int = 8
    error_bytes: int = 64 << 10


@dataclass(frozen=True)
class Service:
    """The address that is asked, such as `http://127.0.0.1:8000`, without the endpoint's path.

    model: the name that a request gives; None leaves it out. key_env: the environment variable that holds the key; it
    is read when requests are made and never stored. key_header: where it goes, as `Bearer` in `Authorization`. extra:
    fields put over the body of each request; None takes a field out. headers: more of them. timeout_s: of one attempt,
    from when it is begun to its end, waiting for a connection included. verify_tls: whether certificates are held
    against the machine's authorities, or those in ca_file. compression: whether the server may compress what it sends.
    sockets: connections at most, None for as many as there are requests; keep_alive: whether one serves several
    requests, one after another. processes: how many of ours share a load, where one cannot keep up.

    Raises ServiceError for an address that cannot be, or that has a key in it.
    """

    url: str
    model: str | None = None
    key_env: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: NONE)
    timeout_s: float = 600.0
    verify_tls: bool = True
    compression: bool = False
    sockets: int | None = None
    processes: int = 1
    keep_alive: bool = True
    key_header: str = "Authorization"
    headers: Mapping[str, str] = field(default_factory=lambda: NONE)
    ca_file: str | None = None
    retries: Retries = Retries()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", dict(self.extra))
        object.__setattr__(self, "headers", dict(self.headers))
        _check_url(self.url)
        _check_extra(self.extra)
        if self.key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_env):
            raise ServiceError(
                "got a key_env that is no name of an environment variable (it is not shown, for it may be the key "
                "itself); expected a name such as OPENAI_API_KEY, with the key in that variable"
            )
        if not math.isfinite(self.timeout_s) or self.timeout_s <= 0:
            raise ServiceError(f"got timeout_s={self.timeout_s}; expected a finite time above 0 s")
        if self.model == "":
            raise ServiceError("got an empty name of a model; expected the server's name of it, or none at all")
        if self.sockets is not None and self.sockets < 1:
            raise ServiceError(f"got sockets={self.sockets}; expected 1 or more, or none for no limit")
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise ServiceError(f"got processes={self.processes}; expected 1 to {MOST_PROCESSES}")
        for name in (*self.headers, self.key_header):
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ServiceError(f"got {name!r} as a header's name; expected letters, digits and dashes")
        given: Mapping[str, Any] = self.headers  # as a suite's file has it
        for name, value in given.items():
            if name.lower() in GIVEN or SECRET_NAMES.search(name):
                raise ServiceError(
                    f"got the header {name!r}, which the client sets itself or which holds a key; put a key's variable "
                    "into key_env, and its header's name into key_header"
                )
            if not (isinstance(value, str) and value.isascii() and value.isprintable()):
                raise ServiceError(
                    f"got a value of the header {name!r} that HTTP cannot hold; expected printable ASCII"
                )

    def address(self, path: str) -> str:
        """The whole address of an endpoint's path; what the service's own has behind its `?` stays there."""
        parts = urllib.parse.urlsplit(self.url)
        return urllib.parse.urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))

    def body(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request with the service's own fields over it."""
        made = {**asked, **self.extra}
        return {name: value for name, value in made.items() if not (value is None and name in self.extra)}


def _check_extra(extra: Mapping[str, Any]) -> None:
    """They stand in a body, which is JSON, and in the run's file, which has no keys."""
    secret = next((name for name in _names(extra) if SECRET_FIELDS.search(name)), None)
    if secret is not None:
        raise ServiceError(
            f"got the field {secret!r} in extra, which holds a key and would be stored; put it into an environment "
            "variable, name that by key_env, and its header by key_header"
        )
    try:
        json.dumps(extra, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ServiceError(f"got fields in extra that JSON cannot hold ({error}); expected numbers, texts …") from None


def _names(found: Any) -> Iterator[str]:
    """Of all fields, of those within fields too."""
    if isinstance(found, Mapping):
        yield from map(str, found)
    if isinstance(found, (Mapping, list)):
        for one in found.values() if isinstance(found, Mapping) else found:
            yield from _names(one)


def _check_url(url: str) -> None:
    if not url.isprintable() or any(map(str.isspace, url)):
        raise ServiceError(f"got an address with blanks or control characters in it; expected one such as {EXAMPLE}")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise ServiceError(f"got an address that cannot be read (not shown); expected one such as {EXAMPLE}") from None
    if parts.username is not None or parts.password is not None:
        raise ServiceError(
            "got an address with a name or password in it (not shown); expected it without, and the key in an "
            "environment variable that key_env names"
        )
    names = [name for name, _ in urllib.parse.parse_qsl(parts.query, keep_blank_values=True)]
    if any(SECRET_NAMES.search(name) for name in names):
        raise ServiceError(
            "got an address with a key behind its ? (not shown); expected it without, and the key in an environment "
            "variable that key_env names"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.fragment:
        raise ServiceError(f"got the address {url!r}; expected one such as {EXAMPLE}")


EXAMPLE = "http://127.0.0.1:8000 or https://host/prefix"
