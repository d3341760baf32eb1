"""Who runs next in continuous batching: admission by free pages, prompts in chunks, preemption where pages run out."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from attnlab.bench import CacheError
from attnlab.impls._lm.pages import Pages, prefix_keys


@dataclass(eq=False)
class Request:
    """A request with its answer so far. Of two requests the one with the smaller number came first.

    text: its prompt, and the tokens of its answer. stored: how many of them, from the first on, lie in `pages`; all
    but the last one while it is running.
    """

    number: int
    prompt_tokens: int
    text: list[int]
    pages: list[int] = field(default_factory=list)
    stored: int = 0

    @property
    def produced(self) -> int:
        return len(self.text) - self.prompt_tokens


@dataclass(frozen=True)
class Chunk:
    """A stretch of a request's text that is to be read: text[start:stop]."""

    request: Request
    start: int
    stop: int

    @property
    def last(self) -> bool:
        """Whether the next token can be chosen after it."""
        return self.stop == len(self.request.text)


class Scheduler:
    """Requests wait in the order they came, are read one after another in chunks, and then run together.

    slots: how many may be active, read or running. new_tokens: of each answer. Whoever is active came before everyone
    who waits: the oldest is admitted first, and the youngest makes room. So the oldest request always gets on, as long
    as the pool holds one whole request, and it is never a wait for each other.
    """

    def __init__(self, pages: Pages, page_tokens: int, slots: int, new_tokens: int) -> None:
        self.pages, self.page_tokens, self.slots, self.new_tokens = pages, page_tokens, slots, new_tokens
        self.waiting: list[Request] = []
        self.reading: Request | None = None
        self.running: list[Request] = []
        self.preemptions = 0
        self.reused_tokens = 0
        self.used_pages_peak = 0

    @property
    def idle(self) -> bool:
        """Whether no request is there."""
        return not (self.waiting or self.reading or self.running)

    def add(self, number: int, prompt: Sequence[int]) -> None:
        """A request has come; raises CacheError where the pool could never hold it whole."""
        whole = len(prompt) + self.new_tokens
        if self._pages_for(whole) > self.pages.count:
            raise CacheError(
                f"got request {number} of {whole} tokens, {self._pages_for(whole)} pages of {self.page_tokens}; "
                f"expected at most {self.pages.count}, the pages of the pool"
            )
        self.waiting.append(Request(number, len(prompt), list(prompt)))

    def next_chunk(self, limit: int) -> Chunk | None:
        """At most so many tokens of the prompt that is being read, or of the next one where there is room for it."""
        if self.reading is None and not self._admit():
            return None
        assert self.reading is not None
        start = self.reading.stored
        return Chunk(self.reading, start, min(start + limit, len(self.reading.text)))

    def was_read(self, chunk: Chunk) -> None:
        """The keys and values of a chunk are stored: after the last one the request runs."""
        request = chunk.request
        request.stored = chunk.stop
        keys = prefix_keys(request.text[: min(chunk.stop, request.prompt_tokens)], self.page_tokens)
        for place in range(chunk.start // self.page_tokens, len(keys)):
            self.pages.remember(request.pages[place], keys[place])
        if chunk.last:
            self.reading = None
            self.running.append(request)

    def next_step(self) -> list[Request]:
        """Those whose last token is read next, oldest first; each has a page for it."""
        for request in list(self.running):
            while request.pages and request.stored == len(request.pages) * self.page_tokens:
                if self.pages.free:
                    self._grow(request)
                else:
                    self._preempt_youngest()  # which may be this one
        return list(self.running)

    def was_run(self, requests: Sequence[Request]) -> None:
        """The keys and values of their last tokens are stored."""
        for request in requests:
            request.stored += 1

    def chose(self, request: Request, token: int) -> None:
        """A token more of a running request's answer, which leaves after its last one."""
        request.text.append(token)
        if request.produced == self.new_tokens:
            self.running.remove(request)
            self._release(request)

    def _admit(self) -> bool:
        """Let the oldest waiting request in where its text has pages, and one to spare unless it needs none."""
        active = len(self.running)
        if not self.waiting or active == self.slots:
            return False
        request = self.waiting[0]
        length = len(request.text)
        reused = self.pages.known(prefix_keys(request.text[: length - 1], self.page_tokens))  # the last is read anyhow
        kept = sum(self.pages.users(page) == 0 for page in reused)
        whole = request.prompt_tokens + self.new_tokens
        needed = self._pages_for(min(length + self.page_tokens, whole)) - len(reused)
        if needed > self.pages.free - kept:
            return False
        self.reading = self.waiting.pop(0)
        self.pages.share(reused)
        request.pages.extend(reused)
        request.stored = len(reused) * self.page_tokens
        self.reused_tokens += request.stored
        while len(request.pages) < self._pages_for(length):
            self._grow(request)
        return True

    def _preempt_youngest(self) -> None:
        """Take the pages of the active request that came last; it will begin again with its text so far."""
        youngest = self.reading or self.running.pop()
        self.reading = None
        self._release(youngest)
        insort(self.waiting, youngest, key=lambda request: request.number)
        self.preemptions += 1

    def _grow(self, request: Request) -> None:
        request.pages.append(self.pages.take())
        self.used_pages_peak = max(self.used_pages_peak, self.pages.used)

    def _release(self, request: Request) -> None:
        self.pages.give_back(request.pages)
        request.pages.clear()
        request.stored = 0

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self.page_tokens)
