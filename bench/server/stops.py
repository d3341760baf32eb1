"""Stop strings in a text that comes in pieces: a stop may begin in one piece and end in another."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Lets through what no stop can begin in, and holds back the rest until it is known."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._held = tuple(stops), ""

    def push(self, text: str) -> tuple[str, bool]:
        """What may be sent now that `text` has come, and whether a stop has: then what stands before the first one."""
        if not self._stops:
            return text, False
        whole = self._held + text
        found = [place for stop in self._stops if (place := whole.find(stop)) >= 0]
        if found:
            self._held = ""
            return whole[: min(found)], True
        kept = max(self._begun(whole, stop) for stop in self._stops)
        self._held = whole[len(whole) - kept :]
        return whole[: len(whole) - kept], False

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _begun(text: str, stop: str) -> int:
        """How many of the last characters a stop may begin with."""
        return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
