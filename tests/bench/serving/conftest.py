"""One stub server for all tests of a session."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from .stub import Stub, StubServer

CERTIFICATE = Path(__file__).parent / "data" / "localhost.pem"


@pytest.fixture(scope="session")
def certificate() -> Path:
    """Of localhost, signed by itself, with its key, which guards nothing."""
    return CERTIFICATE


@pytest.fixture(scope="session")
def stub(certificate: Path) -> Iterator[Stub]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = StubServer(context)
    yield server.stub
    server.close()
