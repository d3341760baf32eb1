"""What is answered where a request is not served: a status and an error of OpenAI's shape."""

from __future__ import annotations

import msgspec

from attnlab.bench.errors import UsageError
from attnlab.bench.text import printable, shortened

LONGEST = 1000  # characters of a message: it may quote what was sent
KINDS = {404: "not_found_error", 429: "rate_limit_error"}


class Refusal(UsageError):
    """A request that is not served. param: the field that is to blame. retry_after_s: when it may be tried again."""

    def __init__(
        self,
        message: str,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(shortened(printable(message), LONGEST))
        self.status, self.param, self.code, self.retry_after_s = status, param, code, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}

    def body(self) -> bytes:
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        fields = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": fields})


def internal() -> Refusal:
    """What is said of a fault of our own, of which the server's log has the rest."""
    return Refusal("the server failed to answer this request; its log says why", 500, code="internal_error")
