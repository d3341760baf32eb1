"""Pages of one pool that requests share: which are free, which are in use, and what the others still hold."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence


class Pages:
    """The pages of a pool, by number, with their users counted.

    A page whose content is known by a key can be given to others who need the same: while it is in use, and after its
    last user left until its place is needed, which is the longest-unused one's first (after vLLM's and SGLang's
    prefix caches, 2023).
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._users = [0] * count
        self._blank = list(range(count - 1, -1, -1))  # hold nothing; the last one is taken next
        self._kept: OrderedDict[int, None] = OrderedDict()  # hold something that nobody uses; the first one goes next
        self._page: dict[bytes, int] = {}
        self._key: dict[int, bytes] = {}

    @property
    def free(self) -> int:
        """Pages that nobody uses."""
        return len(self._blank) + len(self._kept)

    @property
    def used(self) -> int:
        return self.count - self.free

    def users(self, page: int) -> int:
        return self._users[page]

    def take(self) -> int:
        """A page for one user, whose content is forgotten; there must be a free one."""
        page = self._blank.pop() if self._blank else self._kept.popitem(last=False)[0]
        if page in self._key:
            del self._page[self._key.pop(page)]
        self._users[page] = 1
        return page

    def share(self, pages: Iterable[int]) -> None:
        """One user more of each."""
        for page in pages:
            self._kept.pop(page, None)
            self._users[page] += 1

    def give_back(self, pages: Sequence[int]) -> None:
        """One user less of each of a sequence's pages; of those that nobody uses the last ones are needed least."""
        for page in reversed(pages):
            self._users[page] -= 1
            if self._users[page] == 0 and page in self._key:
                self._kept[page] = None
            elif self._users[page] == 0:
                self._blank.append(page)

    def remember(self, page: int, key: bytes) -> None:
        """A page is full, and its content is what the key stands for; of two with one content the first is known."""
        if key not in self._page:
            self._page[key], self._key[page] = page, key

    def known(self, keys: Iterable[bytes]) -> list[int]:
        """The pages of the first keys, up to one that no page has."""
        found: list[int] = []
        for key in keys:
            if key not in self._page:
                break
            found.append(self._page[key])
        return found


def prefix_keys(ids: Sequence[int], page_tokens: int) -> list[bytes]:
    """A key for each full page of a text: the hash of all ids up to its end, for keys and values depend on them all."""
    keys: list[bytes] = []
    before = b""
    for start in range(0, len(ids) - page_tokens + 1, page_tokens):
        page = array("q", ids[start : start + page_tokens])
        before = hashlib.blake2b(before + page.tobytes(), digest_size=16).digest()
        keys.append(before)
    return keys
