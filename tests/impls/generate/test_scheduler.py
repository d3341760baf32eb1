"""Who runs next in continuous batching, without a model: pages, order, preemption, and that everybody gets on."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.bench.errors import CacheError
from attnlab.impls.generate._engine.block_manager import BlockManager, prefix_hashes
from attnlab.impls.generate._engine.scheduler import Scheduler
from attnlab.impls.generate._engine.sequence import Sequence

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=150)
PAGE = 4


@dataclass
class Simulation:
    """Serves prompts as `ContinuousBatching` does, a model of nothing but the next token, and looks at every state.

    What each page holds is written down: the text up to each of its places, which is what a key or value depends on.
    """

    scheduler: Scheduler
    prompts: list[list[int]]
    arrivals: list[int]  # the iteration in which each request comes
    chunk: int
    new_tokens: list[int]  # of each answer
    cancelled: dict[int, int] = field(default_factory=dict)  # after so many tokens of its answer

    def __post_init__(self) -> None:
        self.held: dict[tuple[int, int], tuple[int, ...]] = {}
        self.sent: list[list[int]] = [[] for _ in self.prompts]
        self.began: list[int] = []
        self.finished: list[int] = []

    def serve(self) -> None:
        come, iteration, still = 0, 0, 0
        while come < len(self.prompts) or not self.scheduler.idle:
            while come < len(self.prompts) and self.arrivals[come] <= iteration:
                self.scheduler.add(come, self.prompts[come], self.new_tokens[come])
                come += 1
            oldest = self.progress_of_the_oldest()
            self.iterate()
            still = still + 1 if not self.scheduler.idle and self.progress_of_the_oldest() <= oldest else 0
            assert still == 0, "the oldest request gets on in every iteration"
            iteration += 1

    def iterate(self) -> None:
        sequences = self.scheduler.next_decode()
        self.look()
        chunk = self.scheduler.next_prefill(self.chunk)
        self.look()
        for sequence in sequences:
            assert sequence.computed_tokens == len(sequence.token_ids) - 1
            self.store(sequence, sequence.computed_tokens, sequence.computed_tokens + 1)
        self.scheduler.finish_decode(sequences)
        if chunk is not None:
            assert 0 < len(chunk.token_ids) == chunk.stop - chunk.start <= self.chunk
            self.store(chunk.sequence, chunk.start, chunk.stop)
            self.scheduler.finish_prefill(chunk)
        for sequence in sequences:
            self.sample(sequence)
        if chunk is not None and chunk.last:
            if chunk.sequence.output_tokens == 0:
                self.began.append(chunk.sequence.request)
            self.sample(chunk.sequence)
        self.look()

    def store(self, sequence: Sequence, start: int, stop: int) -> None:
        """Write tokens to the sequence's pages, none of which may be another's; then all it sees must be its own."""
        for place in range(start, stop):
            page = sequence.block_table[place // PAGE]
            assert self.scheduler.block_manager.references(page) == 1, "nobody writes to a page that is shared"
            self.held[page, place % PAGE] = tuple(sequence.token_ids[: place + 1])
        for place in range(stop):
            page = sequence.block_table[place // PAGE]
            assert self.held[page, place % PAGE] == tuple(sequence.token_ids[: place + 1])

    def sample(self, sequence: Sequence) -> None:
        token = 1000 * sequence.request + len(sequence.token_ids)
        self.sent[sequence.request].append(token)
        self.scheduler.append_token(sequence, token)
        if sequence.output_tokens == sequence.new_tokens:
            self.finished.append(sequence.request)
        elif self.cancelled.get(sequence.request) == sequence.output_tokens:
            self.scheduler.remove(sequence)

    def look(self) -> None:
        """No page has more owners than references are counted, and whoever is active came before all who wait."""
        scheduler, block_manager = self.scheduler, self.scheduler.block_manager
        active, waiting = self.active(), scheduler.waiting
        owners: dict[int, list[int]] = {}
        for sequence in active:
            assert len(set(sequence.block_table)) == len(sequence.block_table)
            for page in sequence.block_table:
                owners.setdefault(page, []).append(sequence.request)
        assert len(active) <= scheduler.max_sequences
        assert [a.request for a in active] == sorted(a.request for a in active)
        assert [w.request for w in waiting] == sorted(w.request for w in waiting)
        assert all(a.request < w.request for a in active for w in waiting)
        assert all(not w.block_table and w.computed_tokens == 0 for w in waiting)
        for page in range(block_manager.pages):
            assert block_manager.references(page) == len(owners.get(page, []))
        assert block_manager.used_pages == len(owners) <= scheduler.used_pages_peak

    def active(self) -> list[Sequence]:
        scheduler = self.scheduler
        return [*scheduler.running, *([scheduler.prefilling] if scheduler.prefilling else [])]

    def progress_of_the_oldest(self) -> tuple[int, int, int]:
        for oldest in [*self.active(), *self.scheduler.waiting][:1]:
            return oldest.request, len(oldest.token_ids), oldest.computed_tokens
        return -1, 0, 0


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    """Prompts over few ids, so that prefixes are shared, and pools from one whole request on."""
    stems = [[n] * 12 for n in range(2)]
    prompts = [
        [*draw(st.sampled_from(stems))[: draw(st.integers(1, 12))], *draw(st.lists(st.integers(0, 1), max_size=6))]
        for _ in range(draw(st.integers(1, 6)))
    ]
    new_tokens = draw(st.lists(st.integers(1, 9), min_size=len(prompts), max_size=len(prompts)))
    least = max(-(-(len(prompt) + new) // PAGE) for prompt, new in zip(prompts, new_tokens, strict=True))
    pages = draw(st.integers(least, 3 * least))
    scheduler = Scheduler(BlockManager(pages), PAGE, draw(st.integers(1, 4)))
    arrivals = sorted(draw(st.lists(st.integers(0, 30), min_size=len(prompts), max_size=len(prompts))))
    cancelled = draw(st.dictionaries(st.integers(0, 5), st.integers(1, 8), max_size=2))
    return Simulation(scheduler, prompts, arrivals, draw(st.integers(1, 7)), new_tokens, cancelled)


@STEADY
@given(simulation=simulations())
def test_everybody_is_served_in_order_from_pages_of_their_own(simulation: Simulation) -> None:
    simulation.serve()
    scheduler = simulation.scheduler
    left = []
    for number, prompt in enumerate(simulation.prompts):
        new = simulation.new_tokens[number]
        stays = simulation.cancelled.get(number, new) >= new
        left += [] if stays else [number]
        sent = new if stays else simulation.cancelled[number]
        assert simulation.sent[number] == [1000 * number + len(prompt) + n for n in range(sent)], "each token once"
    assert scheduler.block_manager.free_pages == scheduler.block_manager.pages, "all pages come back"
    assert simulation.began == sorted(simulation.began), "first tokens come in the order of arrival"
    assert sorted([*simulation.finished, *left]) == list(range(len(simulation.prompts)))


def served(prompts: list[list[int]], pages: int, slots: int, new: int, chunk: int = 8) -> Simulation:
    scheduler = Scheduler(BlockManager(pages), PAGE, slots)
    simulation = Simulation(scheduler, prompts, [0] * len(prompts), chunk, [new] * len(prompts))
    simulation.serve()
    return simulation


def test_the_youngest_makes_room_and_the_older_ends_first() -> None:
    simulation = served([[1] * 6, [2] * 6], pages=5, slots=2, new=10)
    assert simulation.scheduler.preemptions == 1
    assert simulation.finished == [0, 1]


def test_a_pool_with_room_preempts_nobody() -> None:
    simulation = served([[1] * 6, [2] * 6], pages=8, slots=2, new=10)
    assert simulation.scheduler.preemptions == 0
    assert simulation.scheduler.used_pages_peak == 8


def test_a_pool_of_one_request_serves_them_one_after_another() -> None:
    """The page to spare is not asked of a request that will never need it."""
    simulation = served([[1] * 6, [2] * 6, [3] * 6], pages=2, slots=3, new=2)
    assert simulation.finished == [0, 1, 2]
    assert simulation.scheduler.preemptions == 0


def test_full_pages_of_a_prefix_are_read_once() -> None:
    """Of 11 shared tokens two pages are full; also after their last user has left."""
    for slots in (1, 3):
        stem = list(range(11))
        simulation = served([[*stem, 50 + n] for n in range(3)], pages=12, slots=slots, new=2)
        assert simulation.scheduler.reused_tokens == 2 * 2 * PAGE


def test_the_last_token_of_a_prompt_is_always_read() -> None:
    simulation = served([[1] * 8, [1] * 8], pages=8, slots=2, new=1)
    assert simulation.scheduler.reused_tokens == PAGE


def test_a_request_that_begins_again_finds_what_is_left_of_its_prompt() -> None:
    simulation = served([[1] * 5, list(range(9))], pages=6, slots=2, new=9)
    assert simulation.scheduler.preemptions >= 1
    assert simulation.scheduler.reused_tokens > 0


def test_only_what_was_read_can_be_reused() -> None:
    """The second request goes after 12 of its 20 tokens were read: only the three pages of these are found again."""
    simulation = served([[1] * 5, list(range(20))], pages=8, slots=2, new=9, chunk=2)
    assert simulation.scheduler.preemptions == 1
    assert simulation.scheduler.reused_tokens == 3 * PAGE


def test_nobody_is_let_in_to_be_turned_out_at_once() -> None:
    simulation = served([[1] * 6, [2] * 6], pages=4, slots=2, new=4)
    assert simulation.scheduler.preemptions == 0


def test_a_page_is_taken_when_a_token_is_to_be_stored_in_it() -> None:
    """Of nine tokens the last one is sent and never stored."""
    assert served([[1] * 6], pages=3, slots=1, new=3).scheduler.used_pages_peak == 2
    assert served([[1] * 6], pages=3, slots=1, new=4).scheduler.used_pages_peak == 3


def test_a_request_larger_than_the_pool_is_refused() -> None:
    scheduler = Scheduler(BlockManager(3), PAGE, max_sequences=1)
    scheduler.add(0, [1] * 7, new_tokens=5)
    with pytest.raises(CacheError, match="got request 1 of 13 tokens, 4 pages of 4; expected at most 3"):
        scheduler.add(1, [1] * 8, new_tokens=5)


def test_the_longest_unused_page_goes_first() -> None:
    manager = BlockManager(2)
    first, second = prefix_hashes([1, 2, 3, 4], 2)
    a, b = manager.allocate(), manager.allocate()
    manager.register(a, first)
    manager.register(b, second)
    assert manager.free_pages == 0
    manager.free([a, b])
    assert manager.find_prefix([first, second]) == [a, b]
    assert manager.allocate() == b, "the end of a prefix is needed less than its beginning"
    assert manager.find_prefix([first, second]) == [a]
    manager.share([a])
    assert (manager.used_pages, manager.references(a)) == (2, 1)


def test_a_hash_stands_for_the_whole_prefix() -> None:
    assert len(prefix_hashes([1, 2, 3, 4, 5], 2)) == 2
    assert prefix_hashes([1, 2, 3, 4], 2)[0] == prefix_hashes([1, 2, 9, 9], 2)[0]
    assert prefix_hashes([1, 2, 3, 4], 2)[1] != prefix_hashes([2, 1, 3, 4], 2)[1]
    assert prefix_hashes([1], 2) == []
