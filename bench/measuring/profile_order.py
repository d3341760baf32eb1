"""What a worker is asked to profile with, and where what it finds lies."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.text import file_stem

FRESH = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); exec(sys.argv[2])"


@dataclass(frozen=True)
class ProfileOrder:
    """tools: names of profilers, in order. folder: where they write, a folder for each implementation and case, below
    `inside` where there are two revisions of them.

    unchecked: what is wrong is profiled all the same. interpreter: as `ProfiledCall` has it, where modules
    are found otherwise than by the search path. targets: what `static` compiles for, where that was asked for.
    """

    tools: tuple[str, ...]
    folder: str
    inside: str = ""
    unchecked: bool = False
    interpreter: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @property
    def fresh(self) -> tuple[str, ...]:
        """A fresh Python that finds modules where this process does, and runs the code that is added."""
        return self.interpreter or (sys.executable, "-P", "-c", FRESH, json.dumps(sys.path))

    def place(self, operator: str, implementation: str, case_id: str) -> str:
        """Where the tools write what they find of an implementation on a case, relative to the folder."""
        return str(Path(self.inside, file_stem(f"{operator}-{implementation}-{case_id}")))

    def path(self, operator: str, implementation: str, case_id: str) -> Path:
        """The same, as it can be opened."""
        return Path(self.folder, self.place(operator, implementation, case_id))
