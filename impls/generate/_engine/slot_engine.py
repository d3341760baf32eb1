"""Runs a model over sequences that each have a row of contiguous caches, in passes of those that are there."""

from __future__ import annotations

from collections import abc
from functools import partial

import torch
from torch import Tensor

from attnlab.bench import GenerateCase, ModelWeights
from attnlab.impls.generate._engine.decoder import Attend
from attnlab.impls.generate._engine.paged_engine import PagedEngine
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.sequence import PrefillChunk, Sequence


class SlotEngine(PagedEngine):
    """A pool whose pages each hold a whole sequence: nothing is shared, and nothing is gathered.

    Answers that are decoded together lie in the first rows of the caches, one after another, so that a pass reads a
    slice of them. When one leaves, the last may have to move: its row is copied.
    """

    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts) -> None:
        super().__init__(case, weights, parts, spare_rows=1)
        self._rows = list(range(self.pages + 1))  # of each page, and at the end the one that is no page's

    def forward(self, sequences: abc.Sequence[Sequence], chunk: PrefillChunk | None) -> Tensor:
        self._gather(sequences, chunk)
        order = sorted(range(len(sequences)), key=lambda place: self._row(sequences[place]))
        logits = super().forward([sequences[place] for place in order], chunk)
        if order == list(range(len(order))):
            return logits
        places = [*(order.index(place) for place in range(len(order))), *range(len(order), len(logits))]
        return logits[torch.tensor(places, device=logits.device)]

    def _attend_decode(self, sequences: abc.Sequence[Sequence]) -> Attend:
        lengths = [sequence.computed_tokens + 1 for sequence in sequences]
        attention = self.attention.over(self.caches.rows(0, lengths))
        plan = attention.plan(1, lengths)
        return partial(attention.decode, plan, plan.starts)

    def _attend_prefill(self, chunk: PrefillChunk) -> Attend:
        view = self.caches.rows(self._row(chunk.sequence), [chunk.stop])
        attention, starts = self.attention.over(view), view.lengths - (chunk.stop - chunk.start)
        return partial(attention.prefill_chunk, starts, chunk.stop)

    def _row(self, sequence: Sequence) -> int:
        return self._rows[sequence.block_table[0]]

    def _gather(self, sequences: abc.Sequence[Sequence], chunk: PrefillChunk | None) -> None:
        """Move rows until the sequences have the first ones."""
        count = len(sequences)
        taken = {self._row(sequence) for sequence in sequences}
        free = [row for row in range(count) if row not in taken]
        for sequence in sequences:
            if self._row(sequence) >= count:
                self._take(free.pop(), sequence, chunk)

    def _take(self, row: int, sequence: Sequence, chunk: PrefillChunk | None) -> None:
        """A sequence goes to a row; whoever was there, in prefill or nobody, goes to the spare one."""
        page, spare = sequence.block_table[0], self._rows[-1]
        other = self._rows.index(row)
        if chunk is not None and chunk.sequence.block_table[0] == other and chunk.start:
            self.caches.copy_tokens([row], [spare], 0, chunk.start)
        self.caches.copy_tokens([self._rows[page]], [row], 0, sequence.computed_tokens)
        self._rows[other], self._rows[page], self._rows[-1] = spare, row, self._rows[page]
