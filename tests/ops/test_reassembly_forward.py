"""The kernel that is taken forward, and what it reads at once, as compiled for a GPU that need not be there."""

import pytest
import torch

pytest.importorskip('triton', minversion='3.4')
from offline_kernels import Launched, launches
from reassembly_cases import LAYOUTS

from mmagg.ops import reassembly_forward

HALF, BRAIN, SINGLE = torch.float16, torch.bfloat16, torch.float32


def started(
    steps=(1, 2), dtype=HALF, weights=None, size=(8, 16), *, k=5, channels=32, layout='contiguous', compiled=False
) -> Launched | str:
    """The start, or the name of its kernel alone."""
    (stride, scale), (h, w) = steps, size
    maps = {'dtype': dtype, 'device': 'meta', 'memory_format': LAYOUTS[layout]}
    fine, x = (torch.empty(2, channels, n * h, n * w, **maps) for n in (scale, stride))
    kernels = torch.empty(2, k**2 * scale**2, h, w, dtype=weights or dtype, device='meta')
    if not compiled:
        launch = reassembly_forward.Launch(fine, x, kernels, stride, scale, 1)
        return 'product' if reassembly_forward.product_fits(launch) else 'any'
    with launches(90) as found:
        reassembly_forward.forward(fine, x, kernels, stride, scale, 1)
    return found[0]


@pytest.mark.parametrize(('options', 'expected'), [
    ({}, 'product'),
    ({'dtype': BRAIN, 'weights': SINGLE}, 'product'),
    ({'steps': (1, 4), 'k': 9}, 'product'),
    ({'dtype': SINGLE}, 'any'),  # tensor cores round float32
    ({'steps': (2, 1)}, 'any'),
    ({'steps': (1, 3)}, 'any'),
    ({'k': 11}, 'any'),  # whose neighbourhood has more than 16 columns
    ({'size': (8, 7)}, 'any'),
    ({'channels': 24}, 'any'),
], ids=str)  # fmt: skip
def test_products_are_taken_where_they_fit(options, expected) -> None:
    assert started(**options) == expected


@pytest.mark.parametrize('weights', [HALF, SINGLE])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_products_are_on_tensor_cores(layout, weights) -> None:
    one = started(weights=weights, layout=layout, compiled=True)
    assert one.name == 'forward_product_kernel'
    assert any(line.startswith('HMMA.16816.F32') for line in one.instructions)  # sums in float32
    assert one.resources['STACK'] == 0
