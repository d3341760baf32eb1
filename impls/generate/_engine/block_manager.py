"""Which pages of a pool are free, which sequences hold which of them, and what can be shared with others."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockManager:
    """The pages of one pool, which vLLM calls blocks, by number, with references counted.

    A page whose content is known by a hash can be given to other sequences that need the same: while it is in use, and
    after its last user left until its place is needed. The one that was not used for longest is evicted first (after
    vLLM's and SGLang's prefix caches, 2023).
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._references = [0] * pages
        self._blank = list(range(pages - 1, -1, -1))  # hold nothing; the last one is allocated next
        self._evictable: OrderedDict[int, None] = OrderedDict()  # hold something that nobody uses; the first goes next
        self._page_of: dict[bytes, int] = {}
        self._hash_of: dict[int, bytes] = {}

    @property
    def free_pages(self) -> int:
        """Pages that nobody uses."""
        return len(self._blank) + len(self._evictable)

    @property
    def used_pages(self) -> int:
        return self.pages - self.free_pages

    def references(self, page: int) -> int:
        """How many sequences use a page."""
        return self._references[page]

    def allocate(self) -> int:
        """A page for one user, whose content is forgotten; there must be a free one."""
        page = self._blank.pop() if self._blank else self._evictable.popitem(last=False)[0]
        if page in self._hash_of:
            del self._page_of[self._hash_of.pop(page)]
        self._references[page] = 1
        return page

    def share(self, pages: Iterable[int]) -> None:
        """One user more of each."""
        for page in pages:
            self._evictable.pop(page, None)
            self._references[page] += 1

    def free(self, pages: Sequence[int]) -> None:
        """One user less of each of a sequence's pages; of those that nobody uses the last ones are needed least."""
        for page in reversed(pages):
            self._references[page] -= 1
            if self._references[page] == 0 and page in self._hash_of:
                self._evictable[page] = None
            elif self._references[page] == 0:
                self._blank.append(page)

    def register(self, page: int, content: bytes) -> None:
        """A page is full, and its content has this hash; of two with one content the first is known."""
        if content not in self._page_of:
            self._page_of[content], self._hash_of[page] = page, content

    def find_prefix(self, hashes: Iterable[bytes]) -> list[int]:
        """The pages of the first hashes, up to one that no page has."""
        pages: list[int] = []
        for content in hashes:
            if content not in self._page_of:
                break
            pages.append(self._page_of[content])
        return pages


def prefix_hashes(token_ids: Sequence[int], page_tokens: int) -> list[bytes]:
    """A hash for each full page of a text: of all ids up to its end, for keys and values depend on them all."""
    hashes: list[bytes] = []
    before = b""
    for start in range(0, len(token_ids) - page_tokens + 1, page_tokens):
        page = array("q", token_ids[start : start + page_tokens])
        before = hashlib.blake2b(before + page.tobytes(), digest_size=16).digest()
        hashes.append(before)
    return hashes
