"""How the columns of a head are cut into parts whose widths are powers of two."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Width:
    """A head size as kernels take it: `size` columns in one or two parts, side by side, of `blocks` columns."""

    size: int
    blocks: tuple[int, ...]


def padded_width(head_dim: int) -> int:
    """The power of two that holds a head, 16 or more as a dot needs."""
    return max(16, 1 << (head_dim - 1).bit_length())


def blocks(head_dim: int) -> tuple[int, ...]:
    """Columns of a tile's parts: 64 and 16 for a head size of 80; one part where two would hold no less.

    One for 130 as well: the pointers and masks of two that do not fit take more registers than there are.
    """
    half = padded_width(head_dim) // 2
    both = half + padded_width(head_dim - half)
    if half < 16 or both >= padded_width(head_dim) or (head_dim > 128 and both != head_dim):
        return (padded_width(head_dim),)
    return half, padded_width(head_dim - half)


def in_parts(head_dim: int) -> Width:
    """A head cut into the parts that hold it best."""
    return Width(head_dim, blocks(head_dim))


def in_one_part(head_dim: int) -> Width:
    """A head in one part, for kernels whose registers do not hold the pointers of two."""
    return Width(head_dim, (padded_width(head_dim),))


def is_exact(head_dim: int, v_head_dim: int) -> bool:
    """Whether tiles are as wide as the heads: rows are then whole pieces of 16 bytes and loads mask no columns."""
    return sum(blocks(head_dim)) == head_dim and sum(blocks(v_head_dim)) == v_head_dim
