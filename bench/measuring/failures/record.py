"""One failed check as it lies on disk: `failure.json`, and `tensors.npz` beside it, in which nothing is pickled."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench import units
from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.wrong import Wrong
from attnlab.bench.errors import StoreError
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.folders import new_folder
from attnlab.bench.store.records import Outcome

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

FAILURES = "failures"
"""The folder in a run's that holds a folder for each."""

RECORD_FILE, TENSORS_FILE = "failure.json", "tensors.npz"
VERSION = 1
MOST_BYTES = 256 * units.MIB  # of the tensors of one failure
MOST_BYTES_OF_ALL = 2 * units.GIB  # of those of a run
INPUTS, OUTPUTS, EXPECTED = "inputs", "outputs", "expected"


@dataclass(frozen=True)
class Form:
    """Shape and dtype (such as `bfloat16`) of a stored tensor, whose bytes lie in the file."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Failure:
    """A check that failed.

    inputs, draw, content, before: the set of inputs ("drawn", "redrawn", "needles", "timed"), how it is made, and what
    it held earlier; None and () where there was no output to be judged, so that the whole check is made again. wrong:
    what is wrong first. tensors: what lies beside, by path: `inputs/q`, `outputs/out`, `expected/0`. omitted: why
    tensors are not stored, None where they are. plugins: what knew the implementation.
    """

    operator: str
    implementation: str
    case_id: str
    device: str
    outcome: Outcome
    reason: str
    seed: int
    inputs: str | None = None
    draw: str | None = None
    content: Content | None = None
    before: tuple[Content, ...] = ()
    wrong: Wrong | None = None
    tensors: dict[str, Form] = field(default_factory=dict)
    omitted: str | None = None
    plugins: tuple[str, ...] = ()
    failure_version: int = VERSION

    @property
    def key(self) -> str:
        return f"{self.operator}/{self.implementation} {self.case_id}"


def write(folder: Path, failure: Failure, tensors: dict[str, Tensor]) -> Failure:
    """Keep a failure in a folder of its own, or with `-2`, `-3` … where that is there; as it was written.

    Raises OSError.

    Tensors beyond `MOST_BYTES`, or beyond `MOST_BYTES_OF_ALL` with those beside the folder, are left out, and told.
    """
    import numpy as np

    folder = new_folder(folder)
    size_bytes = sum(x.numel() * x.element_size() for x in tensors.values())
    before_bytes = sum(path.stat().st_size for path in folder.parent.glob(f"*/{TENSORS_FILE}"))
    for what, wanted, most in (
        ("one failure", size_bytes, MOST_BYTES),
        ("all failures of a run", size_bytes + before_bytes, MOST_BYTES_OF_ALL),
    ):
        if tensors and wanted > most:
            told = f"{units.format_bytes(wanted)} of {what} are more than the {units.format_bytes(most)} that are kept"
            failure, tensors = replace(failure, omitted=f"{told}; inputs are made again from their content"), {}
    if tensors:
        forms = {name: Form(tuple(x.shape), str(x.dtype).removeprefix("torch.")) for name, x in tensors.items()}
        np.savez(folder / TENSORS_FILE, **{name: _bytes(x) for name, x in tensors.items()})  # type: ignore[arg-type]
        failure = replace(failure, tensors=forms)
    text = json.dumps(encode(failure), indent=1) + "\n"
    (folder / RECORD_FILE).write_text(text, encoding="utf-8")
    return failure


def read(folder: Path) -> Failure:
    """The failure in a folder; raises StoreError where it holds none that can be read."""
    path = folder / RECORD_FILE
    try:
        failure = decode(Failure, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(f"{folder} holds no {RECORD_FILE}; expected a folder that --keep-failures wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read: {error}; expected what --keep-failures wrote") from error
    if failure.failure_version > VERSION:
        raise StoreError(f"{path} is of version {failure.failure_version}; this attnlab reads up to {VERSION}")
    return failure


def read_tensors(folder: Path, failure: Failure) -> dict[str, Tensor]:
    """What lies beside; {} where nothing was kept. Raises StoreError where it is cut, damaged or of another form."""
    import numpy as np
    import torch

    path, found = folder / TENSORS_FILE, {}
    if not failure.tensors:
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            for name, form in failure.tensors.items():
                known: Any = getattr(torch, form.dtype, None)
                if not isinstance(known, torch.dtype):
                    raise ValueError(f"{name} has dtype {form.dtype!r}, which torch does not know")
                dtype: torch.dtype = known
                data = stored[name]
                if data.dtype != np.uint8 or data.nbytes != math.prod(form.shape) * dtype.itemsize:
                    raise ValueError(
                        f"{name} has {data.nbytes} bytes, and not those of {list(form.shape)} {form.dtype}"
                    )
                raw = torch.from_numpy(data.copy())
                found[name] = (raw.view(dtype) if data.size else torch.empty(0, dtype=dtype)).reshape(form.shape)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        why = "it is missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise StoreError(f"{path} cannot be read: {why}; run again with --keep-failures") from error
    return found


def _bytes(x: Tensor) -> np.ndarray[Any, Any]:
    import torch

    return x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
