"""Whose model a server serves, by its own word, against what a case asks for."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attnlab.bench.errors import ServiceError, Unavailable
from attnlab.bench.llm.models.sources import is_path, squeezed
from attnlab.bench.ops.serve.case import SERVED
from attnlab.bench.serving.secret import Key
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    from attnlab.bench.ops.serve.case import ServeCase
    from attnlab.bench.serving.service import Service

LONGEST_S = 20.0
MOST_BYTES = 1 << 20
MOST_NAMED = 4
NO_SUCH_PATH = (404, 405, 501)


class TellsModels(Protocol):
    """What of an endpoint is needed here."""

    @property
    def identity_path(self) -> str | None: ...

    def models_in(self, told: Mapping[str, Any]) -> tuple[str, ...]: ...


def identified(endpoint: TellsModels, service: Service, case: ServeCase) -> str | None:
    """The name by which a request asks for the case's model; None where the server does not tell any.

    A name that the suite gives must be among those that are served. Else a name must be that of the case's model: of
    several the first that is. Raises Unavailable where the server is not there, or serves another model.
    """
    told = None if endpoint.identity_path is None else fetched(service, endpoint.identity_path)
    if told is None:
        return service.model
    models = endpoint.models_in(told)
    if not models:
        raise Unavailable(
            f"{service.url}{endpoint.identity_path} tells no model: {one_line(json.dumps(told), 120)}; expected the "
            "names of those that are served"
        )
    named = ", ".join(dict.fromkeys(models[:MOST_NAMED]))
    if service.model is not None:
        if service.model not in models:
            raise Unavailable(f"the server serves {named}, and not {service.model}; mend the model of its table")
        return service.model
    if case.model == SERVED:
        if len({*models}) > 1 and len(models) > 2:
            raise Unavailable(f"the server serves {named}; say which by model = in its [servers.NAME] table")
        return next(iter(models))
    wanted = squeezed(Path(case.model).stem if is_path(case.model) else case.model.partition(":")[0])
    fitting = [name for name in models if wanted in squeezed(name)]
    if not fitting:
        raise Unavailable(
            f"the server serves {named}, and not {case.model}; where that is the same model by another name, say "
            "model = in its [servers.NAME] table, or take model=served"
        )
    return fitting[0]


def fetched(service: Service, path: str) -> dict[str, Any] | None:
    """The JSON object at a path of a server; None where it has no such path. Raises Unavailable, never with a key."""
    request = urllib.request.Request(service.address(path), headers={"Accept": "application/json"})
    try:
        key = Key.of(service.key_env)
    except ServiceError as error:
        raise Unavailable(str(error)) from None
    for name, value in {**service.headers, **(key.header(service.key_header) if key is not None else {})}.items():
        request.add_unredirected_header(name, value)
    words, body = "", b""
    try:
        with _opener(service).open(request, timeout=min(service.timeout_s, LONGEST_S)) as answer:
            body = answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        if error.code in NO_SUCH_PATH:
            return None
        words = f"status {error.code} ({error.reason})" + (_REFUSED_KEY if error.code in (401, 403) else "")
    except urllib.error.URLError as error:
        words = str(error.reason)
    except (OSError, ValueError) as error:
        words = str(error) or type(error).__name__
    if words:
        shown = words if key is None else key.out_of(words)
        raise Unavailable(f"no server answers at {service.address(path)}: {one_line(shown, 200)}")
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        begun = one_line(body[:80].decode(errors="replace"), 80)
        shown = begun if key is None else key.out_of(begun)
        raise Unavailable(f"{service.address(path)} answers {shown!r}, which is no JSON object; expected its models")
    return told


_REFUSED_KEY = ": it wants a key; give key_env = the name of the variable that holds it"


def _opener(service: Service) -> urllib.request.OpenerDirector:
    """Without proxies, as the client asks; certificates are held against authorities as the service has it."""
    context = ssl.create_default_context(cafile=service.ca_file)
    if not service.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key must not follow a redirect to another host."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None
