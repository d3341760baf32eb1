"""What an error of aiohttp, or a status, means for a request: a failure with words that say how to mend it."""

from __future__ import annotations

import errno
import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from aiohttp import http_exceptions

from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.openai import error_in
from attnlab.bench.serving.service import Service
from attnlab.bench.text import message_of, one_line, reason_of

OUR_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL)
LOST = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN)
SHOWN = 160  # characters of a body


def failure_of(error: BaseException, service: Service, pieces: int = 0) -> Failure:
    """Why a request failed with this error; pieces: how many of the answer had come."""
    where = f"at {service.address('')}"
    if isinstance(error, (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError, ssl.SSLError)):
        return _of_tls(error, where)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure(
            "unreachable", f"the host's name {where} cannot be found ({message_of(error)}); check the address"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return _of_connecting(error, where)
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError)):
        when = f"after {pieces} pieces of the answer" if pieces else "before a piece of the answer came"
        cause = error.__cause__ if isinstance(error, aiohttp.ClientPayloadError) and error.__cause__ else error
        if isinstance(cause, http_exceptions.ContentEncodingError):
            return Failure("protocol", f"what came is not compressed as it says ({message_of(cause)})")
        if isinstance(cause, http_exceptions.HttpProcessingError) and not isinstance(
            cause, (http_exceptions.TransferEncodingError, http_exceptions.ContentLengthError)
        ):
            return Failure("protocol", f"what came is no HTTP ({message_of(cause)}); check the address")
        return Failure("disconnected", f"the connection {where} ended {when} ({reason_of(error)})")
    if isinstance(error, (aiohttp.ClientResponseError, http_exceptions.HttpProcessingError)):
        return Failure("protocol", f"what came {where} is no HTTP ({message_of(error)}); check the address")
    return Failure("client", reason_of(error))


def _of_tls(error: BaseException, where: str) -> Failure:
    said = message_of(error)
    hint = "check that the address is one of https"
    if isinstance(error, aiohttp.ClientConnectorCertificateError) or "certificate" in said.lower():
        hint = "give the authority's certificate as ca_file, or verify_tls = false where you trust the network"
    return Failure("tls", f"no secure connection {where} ({said}); {hint}")


def _of_connecting(error: aiohttp.ClientConnectorError, where: str) -> Failure:
    number = error.os_error.errno
    reason = error.os_error.strerror or message_of(error)
    if isinstance(error.os_error, ConnectionRefusedError) or number == errno.ECONNREFUSED:
        return Failure("refused", f"nothing listens {where}; start the server, or mend the address")
    if number in OUR_FAULTS:
        return Failure("client", f"no socket can be had ({reason}); raise ulimit -n, or give the service fewer sockets")
    if number in LOST:
        return Failure("disconnected", f"the connection {where} ended while it was made ({reason})")
    return Failure("unreachable", f"no connection {where} ({reason}); check the address and the network")


def out_of_time(service: Service, pieces: int, connected: bool) -> Failure:
    """No end within the time limit."""
    came = f"{pieces} pieces of the answer had come" if pieces else "no piece of the answer had come"
    if not connected:
        came = "the request was not sent, for no connection was there"
    return Failure(
        "timeout", f"no whole answer within {service.timeout_s:g} s: {came}; raise timeout_s, or look at the server"
    )


def failure_of_status(status: int, headers: Mapping[str, str], body: bytes, service: Service) -> Failure:
    """A status that is no success, with the server's own words."""
    try:
        name = HTTPStatus(status).phrase
    except ValueError:
        name = ""
    said = words_in(body)
    hints = {
        401: _key_hint(service),
        403: _key_hint(service),
        404: "check the address, and the model's name",
        413: "ask for less",
        429: "ask for less at a time",
    }
    if 300 <= status < 400:
        there = headers.get("Location", "nowhere").partition("?")[0].rpartition("@")[2]
        hint = f"redirects are not followed, to {one_line(there, 80)}; give that address"
    else:
        hint = hints.get(status, "see the server's log" if status >= 500 else "check the request's fields")
    wait_s = retry_after_s(headers)
    told = "" if wait_s is None else f"; it asks to wait {wait_s:g} s"
    return Failure(f"http_{status}", f"{status} {name}".strip() + (f": {said}" if said else "") + f"{told}; {hint}")


def _key_hint(service: Service) -> str:
    if service.key_env is None:
        return "name the environment variable that holds the service's key by key_env"
    return f"check the key in {service.key_env}"


def words_in(body: bytes) -> str:
    """What an error's body says: its message where it is JSON of a known form, else how it begins."""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return one_line(text, SHOWN)
    return one_line((error_in(found) if isinstance(found, dict) else None) or text, 2 * SHOWN)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait that the server asks for, in seconds; a date is counted from the server's own, never from our clock."""
    said = headers.get("Retry-After", "").strip()
    if said.replace(".", "", 1).isdecimal() and said.isascii():
        return min(float(said), 86_400.0)
    try:
        return max(0.0, (parsedate_to_datetime(said) - parsedate_to_datetime(headers["Date"])).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def not_an_answer(kind: str, body: bytes, wanted: str) -> Failure:
    """A success with a body of another kind."""
    text = body[: 4 * SHOWN].decode(errors="replace")
    return Failure(
        "unreadable",
        f"got {kind} that begins with {one_line(text, SHOWN)!r}; expected {wanted}: is the address the API's?",
    )
