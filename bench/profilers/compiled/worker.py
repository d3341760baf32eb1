"""A process that compiles cases, one after another: orders come in as lines of JSON, records go out as such.

    python -m attnlab.bench.profilers.compiled.worker

The first line is a `Setup`. What kernels and compilers print is kept from the records.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO

from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
from attnlab.bench.store.codec import decode, encode

LONGEST_OUTPUT = 2_000


def main() -> None:
    """Serve orders until there are none."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with tempfile.TemporaryFile("w+b") as output:
        errors = os.dup(2)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        try:
            serve(sys.stdin, replies, output)
        finally:
            os.dup2(errors, 2)  # where it is told why this process ends


def serve(orders: IO[str], replies: IO[str], output: IO[bytes]) -> None:
    """Answer each order. Of a failure the end of what the compiler printed is told."""
    from attnlab.bench.profilers.compiled.cases import compile_order

    setup = decode(Setup, json.loads(next(iter(orders))))
    kept, root = (None if given is None else Path(given) for given in (setup.kept, setup.root))
    for line in orders:
        order = decode(CaseOrder, json.loads(line))
        begun = output.seek(0, os.SEEK_END)
        found = compile_order(order, setup.plugins, kept, root)
        if found.failed is not None:
            output.seek(begun)
            said = output.read()[-LONGEST_OUTPUT:].decode("utf-8", "replace").strip()
            found = replace(found, failed="\n".join(filter(None, (found.failed, said))))
        replies.write(json.dumps(encode(found)) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
