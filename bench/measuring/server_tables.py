"""Reads the `[servers.NAME]` tables of a suite's file; what is wrong in one is told by file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attnlab.bench.errors import ServiceError, SuiteError, UnknownName, UsageError
from attnlab.bench.ops.serve.servers import EMBEDDED
from attnlab.bench.serving.service import Retries, Service
from attnlab.bench.toml_file import TomlFile, is_number, is_whole

SERVERS = "servers"
OMIT, RETRIES = "omit", "retries"
KINDS: dict[str, tuple[type, str]] = {
    "url": (str, "an address such as http://127.0.0.1:8000"),
    "model": (str, "the name by which the server knows the model"),
    "key_env": (str, "the name of the variable that holds the key"),
    "key_header": (str, "a header's name"),
    "extra": (dict, "a table of fields for the body of each request"),
    "headers": (dict, "a table of headers"),
    "timeout_s": (float, "seconds above 0"),
    "verify_tls": (bool, "true or false"),
    "ca_file": (str, "a file of certificates"),
    "compression": (bool, "true or false"),
    "sockets": (int, "a whole number of 1 or more"),
    "processes": (int, "a whole number of 1 or more"),
    "keep_alive": (bool, "true or false"),
    OMIT: (list, "a list of fields to leave out of each request"),
    RETRIES: (int, "how often a request is sent again at most"),
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def read_servers(file: TomlFile, tables: Any) -> dict[str, Service]:
    """The servers of a file, by name; raises SuiteError."""
    if tables is None:
        return {}
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SuiteError(f"{file.at(SERVERS)}: expected tables [servers.NAME], each with its url")
    return {name: _Table(file, name).service(table) for name, table in tables.items()}


class _Table:
    def __init__(self, file: TomlFile, name: str) -> None:
        self._file, self._name = file, name

    def service(self, table: Mapping[str, Any]) -> Service:
        if not NAME.fullmatch(self._name) or self._name == EMBEDDED:
            raise self._wrong(None, f"got the name {self._name!r}; expected letters, digits and _, and not {EMBEDDED}")
        for key, value in table.items():
            if key not in KINDS:
                raise self._wrong(key, str(UnknownName("key of a server", key, KINDS)))
            if not _is(value, KINDS[key][0]):
                shown = "a value" if key in ("url", "key_env") else repr(value)  # it may hold a key
                raise self._wrong(key, f"got {shown} for {key}; expected {KINDS[key][1]}")
        if "url" not in table:
            raise self._wrong(None, 'the server lacks its url = "http://127.0.0.1:8000"')
        return self._made(table)

    def _made(self, table: Mapping[str, Any]) -> Service:
        """With each key tried alone first, so that an error names its line."""
        url = self._tried("url", {"url": table["url"]}).url
        given = {key: value for key, value in table.items() if key not in (OMIT, RETRIES, "url")}
        for key, value in given.items():
            self._tried(key, {"url": url, key: value})
        extra = {**dict.fromkeys(self._omitted(table)), **given.pop("extra", {})}
        if RETRIES in table:
            try:
                given[RETRIES] = Retries(table[RETRIES])
            except ServiceError as error:
                raise self._wrong(RETRIES, str(error)) from None
        return Service(url=url, extra=extra, **given)

    def _omitted(self, table: Mapping[str, Any]) -> list[str]:
        names: list[str] = table.get(OMIT, [])
        if not all(isinstance(name, str) for name in names):
            raise self._wrong(OMIT, f"got {names!r} for omit; expected {KINDS[OMIT][1]}")
        return names

    def _tried(self, key: str, given: Mapping[str, Any]) -> Service:
        try:
            return Service(**given)
        except ServiceError as error:
            raise self._wrong(key, str(error)) from None

    def _wrong(self, key: str | None, message: str) -> UsageError:
        return SuiteError(f"{self._at(key)}: {message}")

    def _at(self, key: str | None) -> str:
        """`file:line` of a key of this table, or of its head."""
        lines = self._file.text.splitlines()
        head = re.compile(rf"\s*\[\s*{SERVERS}\s*\.\s*[\"']?{re.escape(self._name)}[\"']?\s*(\.|\])")
        start = next((n for n, line in enumerate(lines) if head.match(line)), None)
        if start is None:
            return self._file.at(SERVERS)
        own = re.compile(rf"\s*[\"']?{re.escape(key or '')}[\"']?\s*[=.]|\s*\[.*\.\s*{re.escape(key or '')}\s*\]")
        for number in range(start + 1, len(lines)) if key is not None else ():
            if own.match(lines[number]):
                return f"{self._file.path}:{number + 1}"
            if re.match(r"\s*\[", lines[number]) and not head.match(lines[number]):
                break
        return f"{self._file.path}:{start + 1}"


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return is_number(value)
    return is_whole(value) if kind is int else isinstance(value, kind)
