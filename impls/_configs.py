"""Which configuration an implementation with a search space takes: given, stored for this device, or built in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from attnlab.bench import AttentionCase, Configuration, DecodeCase, Space, UsageError
from attnlab.kernels.configs.stored import stored


class Chooser:
    """Takes a configuration for each case and remembers which, to be told.

    kernel: the implementation's key, such as `attention/tiled`. compiler: the package whose version counts, where
    another one makes other code of the same source.
    """

    def __init__(self, kernel: str, space: Space, compiler: str | None = None) -> None:
        self._kernel, self._space, self._compiler = kernel, space, compiler
        self._taken: dict[str, tuple[Configuration, str | None]] = {}

    def take(self, case: Any, device: torch.device, given: Configuration | None) -> Configuration:
        """The configuration for a case on a device. Raises UsageError where a stored one is none of this kernel."""
        origin = None
        if given is None:
            exact, sizes = self._space.shape(case)
            found = stored(self._kernel, device, exact, sizes, _versions(self._compiler))
            if found is not None:
                given, origin = found.values, f"found by measuring for {found.found_for}"
                self._check(given)
        taken = self._space.default(case) if given is None else given
        self._taken[case.id] = taken, origin
        return taken

    def told(self, case: Any, describe: Callable[[Configuration], str]) -> str | None:
        """What was taken for a case, in words, and why where that is not what is built in."""
        if case.id not in self._taken:
            return None
        taken, origin = self._taken[case.id]
        return describe(taken) + (f"; {origin}" if origin else "")

    def _check(self, found: Configuration) -> None:
        if list(found) != list(self._space.axes):
            raise UsageError(
                f"a stored configuration of {self._kernel} names {', '.join(found)}; expected "
                f"{', '.join(self._space.axes)}: tune anew, or remove its entry"
            )


Shape = tuple[dict[str, int | str], dict[str, int]]
"""What must be equal, and the sizes that may be up to twice or half."""


def added(case: AttentionCase | DecodeCase) -> Shape:
    """What a case adds to plain attention of its kind of mask, as far as kernels are compiled for it or loop by it.

    Nothing for plain cases: what was stored before there were variants is read for them, and for no other.
    """
    exact: dict[str, int | str] = {}
    if case.softcap is not None:
        exact["softcap"] = 1
    if case.sinks != "none":
        exact["sinks"] = 1
    if case.bias:
        exact["bias"] = case.bias.kind
    if case.mask.kind == "document":
        return exact, {"longest_document": max(case.mask.documents)}
    return exact, {"mask_size": case.mask.size or 0} if case.mask.kind in ("chunked", "prefix") else {}


def attention_shape(case: AttentionCase) -> Shape:
    """What the best tiles of attention hang on. Of a pack the sizes are those of its longest sequence."""
    q_len, kv_len = max(case.sequences)
    exact: dict[str, int | str] = {
        "dtype": case.dtype,
        "head_dim": case.head_dim,
        "v_head_dim": case.v_head_dim,
        "mask": case.mask.kind,
        "packed": int(bool(case.packed)),
    }
    if case.packed_keys != case.packed:
        exact["packed_keys"] = 1
    more, sizes = added(case)
    return exact | more, {"q_len": q_len, "kv_len": kv_len, "heads": case.batch * case.q_heads} | sizes


def _versions(package: str | None) -> Mapping[str, str]:
    if package is None:
        return {}
    try:
        return {package: version(package)}
    except PackageNotFoundError:
        return {}
