"""Writes the log of one call of `generate` while it runs: every implementation, ours and others', uses this one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral

from attnlab.bench import units
from attnlab.bench.llm.generation.evidence import Evidence
from attnlab.bench.llm.generation.logs import FAILED, CallLog, Pass, RequestLog

Now = Callable[[], int]
Encode = Callable[[str], Sequence[int]]


class Recorder:
    """The log of one call, which begins with it.

    arrivals_s: when each request is due, seconds from now. prompts: the ids of each. texts, encode: the same as text
    and what turns it into ids, so that this is timed as a part of serving; None for models without a tokenizer.
    asked_ns: by `now_ns`, when the log was asked for; what was made ready from then on is no part of the call.
    evidence: what is asked for in a check beside the tokens; None in calls that are timed. foretold: of each request
    the answer that a synthetic drafter knows; None where none is to know any.
    """

    def __init__(
        self,
        arrivals_s: Sequence[float],
        prompts: Sequence[Sequence[int]],
        texts: Sequence[str] | None = None,
        encode: Encode | None = None,
        now_ns: Now = time.perf_counter_ns,
        asked_ns: int | None = None,
        evidence: Evidence | None = None,
        foretold: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self._prompts, self._texts, self._encode, self._now_ns = prompts, texts, encode, now_ns
        self.evidence, self.foretold = evidence, foretold
        self._arrivals_ns = [units.seconds_to_ns(second) for second in arrivals_s]
        self._times_ns: list[list[float]] = [[] for _ in arrivals_s]
        self._tokens: list[list[int]] = [[] for _ in arrivals_s]
        self._ids: list[list[int] | None] = [[] for _ in arrivals_s]
        self._failures: dict[int, str] = {}
        self._tokenise_ns: dict[int, float] = {}
        self._sample_ns: dict[int, float] = {}
        self._passes: list[Pass] = []
        self._counts: dict[str, float] = {}
        self._begun_ns = now_ns()
        self.asked_ns = self._begun_ns if asked_ns is None else asked_ns

    @property
    def requests(self) -> int:
        return len(self._prompts)

    def elapsed_ns(self) -> float:
        """Since the call began."""
        return float(self._now_ns() - self._begun_ns)

    def due(self, request: int) -> bool:
        """Whether a request has arrived by now."""
        return self._arrivals_ns[request] <= self.elapsed_ns()

    def wait_for(self, request: int) -> None:
        """Sleep until a request arrives."""
        left_ns = self._arrivals_ns[request] - self.elapsed_ns()
        if left_ns > 0:
            time.sleep(units.ns_to_seconds(left_ns))

    def batches(self, size: int) -> Iterator[list[int]]:
        """Requests in batches of `size`, each given out when its last one has arrived."""
        requests = range(self.requests)
        for first in requests[::size]:
            batch = list(requests[first : first + size])
            self.wait_for(batch[-1])
            yield batch

    def prompt(self, request: int) -> Sequence[int]:
        """The ids of a request's prompt; turning its text into ids is done here, and timed."""
        if self._texts is not None and self._encode is not None:
            start = self._now_ns()
            self._encode(self._texts[request])
            self._tokenise_ns[request] = float(self._now_ns() - start)
        return self._prompts[request]

    def arrived(self, request: int, tokens: int | Sequence[int] = 1) -> None:
        """These tokens of a request's answer are there now, beyond those before: their ids, or their number.

        Ids are held against the answer, so that it is known that they were there. Where only the number of some is
        told, the request has no TTFT and no gaps. A chunk without a token, such as a role's, is none.
        """
        at_ns = self.elapsed_ns()
        told = self._ids[request]
        if isinstance(tokens, (int, Integral)):
            count = int(tokens)
            self._ids[request] = None if count else told
        else:
            ids = list(map(int, tokens))
            count = len(ids)
            if told is not None:
                told += ids
        before = self._tokens[request][-1] if self._tokens[request] else 0
        self._times_ns[request].append(at_ns)
        self._tokens[request].append(before + count)

    def failed(self, request: int, reason: str = FAILED) -> None:
        """A request has no answer: it is counted, and has no latency. Its row of tokens holds −1 from where it ends."""
        self._failures[request] = " ".join(str(reason).split()) or FAILED

    def first_sample(self, request: int, elapsed_ns: float) -> None:
        """What choosing a request's first token from the logits took."""
        self._sample_ns[request] = elapsed_ns

    def ran(self, made: Pass) -> None:
        """A pass of the model."""
        self._passes.append(made)

    def count(self, name: str, value: float) -> None:
        """A quantity of the whole call; see `events.UNITS`."""
        self._counts[name] = value

    def log(self) -> CallLog:
        """All that was recorded."""
        requests = tuple(
            RequestLog(
                arrival_ns=arrival,
                prompt_tokens=len(self._prompts[n]),
                times_ns=tuple(self._times_ns[n]),
                tokens=tuple(self._tokens[n]),
                tokenise_ns=self._tokenise_ns.get(n),
                first_sample_ns=self._sample_ns.get(n),
                ids=None if (told := self._ids[n]) is None else tuple(told),
                failure=self._failures.get(n),
            )
            for n, arrival in enumerate(self._arrivals_ns)
        )
        return CallLog(requests, tuple(self._passes), dict(self._counts))
