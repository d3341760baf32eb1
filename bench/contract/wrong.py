"""What is wrong first in outputs that a check refuses: its place, what was expected there, and what was got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

MOST_SHOWN = 8  # numbers of a row


@dataclass(frozen=True)
class Wrong:
    """A row of an output, all but the last of whose indices are `index`, from its element `first` on.

    error: of that element, allowed: what it may be, both as the check takes them; None where it takes none of elements.
    what: the row's meaning where it is no plain row of numbers.
    """

    output: str
    index: tuple[int, ...]
    first: int
    expected: tuple[float, ...]
    got: tuple[float, ...]
    error: float | None = None
    allowed: float | None = None
    what: str | None = None

    @property
    def place(self) -> str:
        """`out[0, 3, 17, 5]`."""
        return f"{self.output}[{', '.join(map(str, (*self.index, self.first)))}]"


def first_wrong(
    expectation: Any, outputs: Sequence[Tensor], names: Sequence[str], optional: Sequence[str] = ()
) -> Wrong | None:
    """By the expectation's own word, `wrong(outputs)`, where it has one; else where it differs from `expected`.

    optional: outputs that may be kept back, as NaN throughout. None where no single element is wrong: a distribution is
    judged as a whole.
    """
    for name, out in zip(names, outputs, strict=True):
        if not out.is_floating_point() or (name in optional and bool(out.isnan().all())):
            continue
        if out.element_size() > 1 and not bool(torch.isfinite(out).all()):
            return row_of(name, out, None, ~torch.isfinite(out))
    own = getattr(expectation, "wrong", None)
    if callable(own):
        found = own(outputs)
        return found if isinstance(found, Wrong) else None
    for name, out, want in zip(names, outputs, expectation.expected, strict=False):
        if isinstance(want, Tensor) and want.shape == out.shape:
            off = out.cpu().double() != want.cpu().double()
            if bool(off.any()):
                return replace(row_of(name, out, want, off), what="the first difference")
    return None


def row_of(
    name: str,
    got: Tensor,
    want: Tensor | None,
    off: Tensor,
    places: Tensor | None = None,
    errors: Tensor | None = None,
    allowed: float | None = None,
    shape: Sequence[int] | None = None,
) -> Wrong:
    """The row with the first element that is off; all of one shape.

    places: the flat index in the whole output, of `shape`, that each element has, where they are a part of it.
    """
    flat = int(off.flatten().to(torch.uint8).argmax())
    width = got.shape[-1] if got.dim() else 1
    end = min(flat + MOST_SHOWN, (flat // width + 1) * width)
    whole = tuple(got.shape) if shape is None else tuple(shape)
    place = flat if places is None else int(places.flatten()[flat])
    index = tuple(int(n) for n in torch.unravel_index(torch.tensor(place), whole)) if whole else (0,)
    shown = [() if x is None else tuple(x.detach().flatten()[flat:end].cpu().double().tolist()) for x in (want, got)]
    error = None if errors is None else float(errors.flatten()[flat])
    return Wrong(name, index[:-1], index[-1], shown[0], shown[1], error, allowed)
