"""The division of a reassembly's work over programs: tiles cover the grid, vectors lie in memory, offsets fit."""

from itertools import product

import pytest
import torch
from torch import Tensor

from mmagg.ops.reassembly_launch import Launch, together

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last


def launch(size, *, stride=1, scale=2, k=5, channels=256, layout=CONTIGUOUS, dtype=torch.float32) -> Launch:
    h, w = (-(-n // stride) for n in size)

    def maps(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, device='meta', memory_format=layout)

    fine, x = maps(1, channels, scale * h, scale * w), maps(1, channels, *size)
    kernels = torch.empty(1, k**2 * scale**2, h, w, dtype=dtype, device='meta')
    return Launch(fine, x, kernels, stride, scale, 1)


@pytest.mark.parametrize(
    ('size', 'dtype', 'steps', 'expected'),
    [
        ((100, 168), torch.float32, (1, 2), 2),  # of whose fine pixels there are 16 bytes in a row
        ((100, 168), torch.float16, (1, 2), 4),
        ((200, 336), torch.bfloat16, (2, 1), 4),
        ((25, 42), torch.float16, (1, 2), 2),  # 42 is no multiple of 4
        ((13, 21), torch.float32, (1, 2), 1),
        ((25, 43), torch.float32, (2, 1), None),  # the last point has one pixel of x
        ((6, 9), torch.float32, (3, 1), None),  # Triton's tensors have powers of 2
    ],
)
def test_columns_that_lie_together(size, dtype, steps, expected) -> None:
    stride, scale = steps
    assert launch(size, stride=stride, scale=scale, dtype=dtype).columns() == expected


def test_parts_of_maps_are_looked_at() -> None:
    x = torch.empty(1, 2, 4, 12, device='meta')
    assert together(x[..., 4:], 4)
    assert not together(x[..., 2:], 4)  # ten columns
    assert not together(x[..., :3, ::2], 1)


@pytest.mark.parametrize(('dtype', 'channels', 'expected'), [
    (torch.float32, 256, 4), (torch.bfloat16, 256, 8), (torch.float32, 6, 2), (torch.float16, 5, 1),
])  # fmt: skip
def test_channels_that_lie_together(dtype, channels, expected) -> None:
    assert launch((4, 6), channels=channels, layout=CHANNELS_LAST, dtype=dtype).vec == expected
    assert launch((4, 6), channels=channels, dtype=dtype).vec == 1


@pytest.mark.parametrize('inside', [False, True])
def test_tiles_cover_the_grid(inside: bool) -> None:
    for size, rows, columns, points in product([(1, 4), (5, 4), (13, 20), (200, 336)], (1, 2), (1, 4), (4, 32)):
        if rows > size[0]:
            continue
        one = launch(size)
        one.share(channels=8, points=points, warps=1, lanes=8, rows=rows, columns=columns, inside=inside)
        down, across = one.ty * rows, one.tx * columns
        assert one.tiles == -(-size[0] // down) * -(-size[1] // across)
        assert one.ty * one.tx <= points
        assert not inside or (down <= size[0] and across <= size[1])


def test_channels_are_split_where_there_are_few_tiles() -> None:
    one = launch((4, 4), channels=48)
    one.share(channels=8, points=32, warps=1)
    assert (one.channels, one.parts) == (8, 6)
    many = launch((800, 1344), channels=48)
    many.share(channels=32, points=32, warps=1)
    assert (many.channels, many.parts) == (16, 1)


@pytest.mark.parametrize(('layout', 'side'), [(CONTIGUOUS, 2896), (CHANNELS_LAST, 2896)])
def test_offsets_are_wide_where_32_bits_overflow(layout, side) -> None:
    """From the sizes on that the module names."""
    assert not launch((side, side), stride=2, scale=1, layout=layout).wide
    assert launch((side + 1, side + 1), stride=2, scale=1, layout=layout).wide


def test_offsets_of_kernels_count_as_well() -> None:
    assert not launch((4634, 4634), channels=1).wide
    assert launch((4635, 4635), channels=1).wide
