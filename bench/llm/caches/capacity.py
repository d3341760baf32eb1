"""How much of its memory a layout wastes, and how many sequences it lets run: a simulated stream of requests.

The assumptions. A queue that is never empty; prompts and answers of log-normal lengths, as logs of real services have
them; a share of the prompts begins with the same system prompt. A request is admitted where its prompt finds room, in
the order of arrival, and each step gives every running sequence a token. A layout of one block a sequence reserves the
longest context at once, a ring its size, pages are taken one by one; a full page of the common prompt is held once. A
sequence that finds no page for its next token is put back to the queue's head and starts over.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.caches.layout import Layout

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Traffic:
    """A seeded stream of requests; lengths in tokens. longest: prompt and answer together, which are cut to fit."""

    prompt_median: float = 700.0
    prompt_sigma: float = 1.0
    answer_median: float = 250.0
    answer_sigma: float = 0.8
    shared_share: float = 0.4
    shared_tokens: int = 512
    longest: int = 8192
    seed: int = 0

    def draw(self, count: int) -> tuple[Array, Array, NDArray[np.bool_]]:
        """(prompt lengths, answer lengths, whether a prompt begins with the shared one)."""
        generator = np.random.default_rng(self.seed)
        asked = generator.lognormal(np.log(self.prompt_median), self.prompt_sigma, count)
        said = generator.lognormal(np.log(self.answer_median), self.answer_sigma, count)
        shares = generator.random(count) < self.shared_share
        answers = np.clip(said.round(), 1, self.longest // 2).astype(np.int64)
        prompts = asked.round() + np.where(shares, self.shared_tokens, 0)
        return np.clip(prompts, 1, self.longest - answers).astype(np.int64), answers, shares


@dataclass(frozen=True)
class Memory:
    """Bytes for the cache of all layers of a model."""

    total_bytes: int
    layers: int
    kv_heads: int
    head_dim: int
    bits_a_value: float

    @property
    def token_bytes(self) -> float:
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bits_a_value / 8

    @property
    def tokens(self) -> int:
        """How many tokens fit."""
        return int(self.total_bytes / self.token_bytes)


@dataclass(frozen=True)
class Occupancy:
    """Means over the steps of a simulation, once it has filled: shares of the memory, and sequences at a time.

    used: tokens that some sequence needs, those that several share counted once. reserved: what is set aside for
    them. restarted: requests that lost their place, for each that was finished.
    """

    sequences: float
    used: float
    reserved: float
    restarted: float

    @property
    def wasted(self) -> float:
        """Reserved and unused, as a share of what is reserved."""
        return 1 - self.used / self.reserved if self.reserved else 0.0


def simulate(layout: Layout, memory: Memory, traffic: Traffic, requests: int | None = None) -> Occupancy:
    """Run requests through a cache; raises UsageError where not even one fits.

    requests: how many; where left out, enough to fill the memory four times over. What is measured begins when a
    quarter of them is done, and ends when the queue is empty.
    """
    if requests is None:
        a_request = traffic.prompt_median + traffic.answer_median
        requests = max(400, int(4 * memory.tokens / a_request))
    unit = (layout.page_tokens or traffic.longest) if not layout.paged else (layout.page_tokens or 1)
    pool = memory.tokens // unit
    if pool < (1 if not layout.paged else layout.pages_for(traffic.longest)):
        raise UsageError(
            f"got {memory.total_bytes} bytes, {memory.tokens} tokens; expected room for a request of {traffic.longest} "
            f"in layout {layout.name}: give more memory, or shorter requests"
        )
    return _Simulation(layout, unit, pool, traffic, requests).run()


class _Simulation:
    """The state of one simulation; places are pages, or blocks of a whole sequence."""

    def __init__(self, layout: Layout, unit: int, pool: int, traffic: Traffic, requests: int) -> None:
        self.layout, self.unit, self.free, self.pool, self.traffic = layout, unit, pool, pool, traffic
        prompts, answers, shares = traffic.draw(requests)
        self.waiting = deque(zip(prompts.tolist(), answers.tolist(), shares.tolist(), strict=True))
        self.total, self.done, self.restarts = requests, 0, 0
        self.shared_places = traffic.shared_tokens // unit if layout.paged else 0
        self.sharing = 0  # running sequences that hold the shared places
        self.prompt, self.left, self.length, self.places = (np.zeros(0, np.int64) for _ in range(4))
        self.shares = np.zeros(0, bool)
        self.sums, self.steps = np.zeros(3), 0

    def run(self) -> Occupancy:
        while self.done < self.total and (len(self.left) or self.waiting):
            self._admit()
            self._grow()
            if self.done >= self.total // 4 and self.waiting:  # filled, and not yet draining
                self.sums += (len(self.left), self._used(), (self.pool - self.free) * self.unit)
                self.steps += 1
            self._leave()
        sequences, used, reserved = self.sums / max(self.steps, 1)
        whole = self.pool * self.unit
        return Occupancy(sequences, used / whole, reserved / whole, self.restarts / max(self.done, 1))

    def _places(self, tokens: int) -> int:
        return -(-tokens // self.unit) if self.layout.paged else 1

    def _admit(self) -> None:
        while self.waiting:
            prompt, answer, shares = self.waiting[0]
            own = self._places(prompt) - (self.shared_places if shares else 0)
            needed = own + (self.shared_places if shares and not self.sharing else 0)
            if needed > self.free:
                return
            self.waiting.popleft()
            self.free -= needed
            self.sharing += shares
            self.prompt = np.append(self.prompt, prompt)
            self.left = np.append(self.left, answer)
            self.length = np.append(self.length, prompt)
            self.places = np.append(self.places, own)
            self.shares = np.append(self.shares, shares)

    def _grow(self) -> None:
        """A token for each; the newest gives way where pages run out."""
        self.length += 1
        self.left -= 1
        if not self.layout.paged:
            return
        while True:
            held = self.places + np.where(self.shares, self.shared_places, 0)
            short = -(-self.length // self.unit) - held
            needed = int(short.sum())
            if needed <= self.free:
                self.places += short
                self.free -= needed
                return
            answer = int(self.left[-1] + self.length[-1] - self.prompt[-1])
            self.waiting.appendleft((int(self.prompt[-1]), answer, bool(self.shares[-1])))
            self.restarts += 1
            self._remove(np.arange(len(self.left)) == len(self.left) - 1)

    def _leave(self) -> None:
        over = self.left <= 0
        self.done += int(over.sum())
        self._remove(over)

    def _remove(self, gone: NDArray[np.bool_]) -> None:
        self.free += int(self.places[gone].sum())
        sharing = self.sharing - int(self.shares[gone].sum())
        if self.sharing and not sharing:
            self.free += self.shared_places
        self.sharing = sharing
        for name in ("prompt", "left", "length", "places", "shares"):
            setattr(self, name, getattr(self, name)[~gone])

    def _used(self) -> float:
        kept = np.minimum(self.length, self.unit) if self.layout.wraps else self.length
        twice = max(self.sharing - 1, 0) * self.shared_places * self.unit
        return float(kept.sum()) - twice
