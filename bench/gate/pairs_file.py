"""The file of a gate's pairs: what was measured is on disk before anything else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from attnlab.bench.errors import StoreError
from attnlab.bench.gate.messages import Offer
from attnlab.bench.gate.pair_records import PairResult
from attnlab.bench.store.codec import encode

PAIRS_FILE = "pairs.jsonl"


class PairsFile:
    """Each pair of each benchmark as a line, on disk before the next is measured, and never taken away again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PAIRS_FILE
        self._file: IO[str] = self.path.open("a", encoding="utf-8")

    def append(self, number: int, offer: Offer, taken: PairResult) -> None:
        line = {"pair": number, "benchmark": offer.key, "taken": encode(taken)}
        try:
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.path}: {error.strerror}; the pairs before are kept: make room and gate again"
            ) from error

    def close(self) -> None:
        self._file.close()
