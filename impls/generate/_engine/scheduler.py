"""Who runs next in continuous batching: admission by free pages, prefill in chunks, preemption where pages run out."""

from __future__ import annotations

from bisect import insort
from collections import abc

from attnlab.bench import CacheError
from attnlab.impls.generate._engine.block_manager import BlockManager, prefix_hashes
from attnlab.impls.generate._engine.sequence import PrefillChunk, Sequence


class Scheduler:
    """Sequences wait in the order they came, are prefilled one after another in chunks, and then run together.

    max_sequences: how many may be active, in prefill or running. Whoever is active came before everyone who waits: the
    oldest is admitted first, and the youngest makes room. So the oldest sequence always gets on, as long as the pool
    holds one whole sequence, and no two ever wait for each other.
    """

    def __init__(self, block_manager: BlockManager, page_tokens: int, max_sequences: int) -> None:
        self.block_manager, self.page_tokens, self.max_sequences = block_manager, page_tokens, max_sequences
        self.waiting: list[Sequence] = []
        self.prefilling: Sequence | None = None
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.reused_tokens = 0
        self.used_pages_peak = 0

    @property
    def idle(self) -> bool:
        """Whether no sequence is there."""
        return not (self.waiting or self.prefilling or self.running)

    def add(self, request: int, prompt: abc.Sequence[int], new_tokens: int) -> Sequence:
        """A request has come, whose number is larger than all before; new_tokens: of its answer at most.

        Raises CacheError where the pool could never hold it whole.
        """
        whole = len(prompt) + new_tokens
        if self._pages_for(whole) > self.block_manager.pages:
            raise CacheError(
                f"got request {request} of {whole} tokens, {self._pages_for(whole)} pages of {self.page_tokens}; "
                f"expected at most {self.block_manager.pages}, the pages of the pool"
            )
        sequence = Sequence(request, len(prompt), list(prompt), new_tokens)
        self.waiting.append(sequence)
        return sequence

    def next_prefill(self, limit: int) -> PrefillChunk | None:
        """At most so many tokens of the sequence in prefill, or of the next one where there is room for it."""
        if self.prefilling is None and not self._admit():
            return None
        assert self.prefilling is not None
        start = self.prefilling.computed_tokens
        return PrefillChunk(self.prefilling, start, min(start + limit, len(self.prefilling.token_ids)))

    def finish_prefill(self, chunk: PrefillChunk) -> None:
        """The keys and values of a chunk are stored: after the last one the sequence runs."""
        sequence = chunk.sequence
        sequence.computed_tokens = chunk.stop
        prompt = sequence.token_ids[: min(chunk.stop, sequence.prompt_tokens)]
        hashes = prefix_hashes(prompt, self.page_tokens)
        for place in range(chunk.start // self.page_tokens, len(hashes)):
            self.block_manager.register(sequence.block_table[place], hashes[place])
        if chunk.last:
            self.prefilling = None
            self.running.append(sequence)

    def next_decode(self) -> list[Sequence]:
        """Those whose last token is computed next, oldest first; each has a page for it."""
        for sequence in list(self.running):
            while sequence.block_table and sequence.computed_tokens == len(sequence.block_table) * self.page_tokens:
                if self.block_manager.free_pages:
                    self._append_page(sequence)
                else:
                    self._preempt_youngest()  # which may be this one
        return list(self.running)

    def finish_decode(self, sequences: abc.Sequence[Sequence]) -> None:
        """The keys and values of their last tokens are stored."""
        for sequence in sequences:
            sequence.computed_tokens += 1

    def append_token(self, sequence: Sequence, token: int) -> None:
        """A token more of a running sequence's answer, which leaves after its last one."""
        sequence.token_ids.append(token)
        if sequence.output_tokens == sequence.new_tokens:
            self.remove(sequence)

    def remove(self, sequence: Sequence) -> None:
        """A sequence leaves, wherever it is; its pages are free."""
        if sequence is self.prefilling:
            self.prefilling = None
        else:
            (self.running if sequence in self.running else self.waiting).remove(sequence)
        self._free(sequence)

    def _admit(self) -> bool:
        """Let the oldest waiting sequence in where its tokens have pages, and one to spare unless it needs none."""
        if not self.waiting or len(self.running) == self.max_sequences:
            return False
        sequence = self.waiting[0]
        length = len(sequence.token_ids)
        hashes = prefix_hashes(sequence.token_ids[: length - 1], self.page_tokens)  # the last is computed anyhow
        reused = self.block_manager.find_prefix(hashes)
        unused = sum(self.block_manager.references(page) == 0 for page in reused)
        whole = sequence.prompt_tokens + sequence.new_tokens
        needed = self._pages_for(min(length + self.page_tokens, whole)) - len(reused)
        if needed > self.block_manager.free_pages - unused:
            return False
        self.prefilling = self.waiting.pop(0)
        self.block_manager.share(reused)
        sequence.block_table.extend(reused)
        sequence.computed_tokens = len(reused) * self.page_tokens
        self.reused_tokens += sequence.computed_tokens
        if sequence.cached_tokens is None:
            sequence.cached_tokens = sequence.computed_tokens
        while len(sequence.block_table) < self._pages_for(length):
            self._append_page(sequence)
        return True

    def _preempt_youngest(self) -> None:
        """Take the pages of the active sequence that came last; it will begin again with its tokens so far."""
        youngest = self.prefilling or self.running.pop()
        self.prefilling = None
        self._free(youngest)
        insort(self.waiting, youngest, key=lambda sequence: sequence.request)
        self.preemptions += 1

    def _append_page(self, sequence: Sequence) -> None:
        sequence.block_table.append(self.block_manager.allocate())
        self.used_pages_peak = max(self.used_pages_peak, self.block_manager.used_pages)

    def _free(self, sequence: Sequence) -> None:
        self.block_manager.free(sequence.block_table)
        sequence.block_table.clear()
        sequence.computed_tokens = 0

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self.page_tokens)
