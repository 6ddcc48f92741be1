"""Reassembly by mmcv's CARAFE, whose CUDA kernel a plain form stands in for."""

import pytest
import torch
import torch.nn.functional as F
from reassembly_cases import CASES, UP, inputs, naive
from torch import Tensor

from mmagg.ops import reassemble_up, reassembly_mmcv


def carafe(features: Tensor, masks: Tensor, k: int, groups: int, scale: int) -> Tensor:
    """mmcv's op of this name, by its definition."""
    b, c, h, w = features.shape
    columns = F.unfold(features, k, padding=k // 2).view(b, c * k * k, h, w)
    columns = columns.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    columns = columns.view(b, groups, c // groups, k * k, scale * h, scale * w)
    masks = masks.view(b, groups, 1, k * k, scale * h, scale * w)
    return (columns * masks).sum(3).flatten(1, 2)


def test_upsampling_is_carafe() -> None:
    x, kernels = inputs(5, UP, 2, (4, 5))
    want = carafe(x, F.pixel_shuffle(kernels, 2), 5, 2, 2)
    torch.testing.assert_close(reassemble_up(x, kernels, groups=2), want)
    torch.testing.assert_close(reassembly_mmcv.up(x.float(), kernels, 2, 2, carafe), want.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('case', [case for case in CASES if case[1][1] == 1], ids=str)
def test_downsampling_by_carafe_of_phases(case: tuple) -> None:
    k, (stride, _), groups, _ = case
    x, kernels = (t.detach().float() for t in inputs(*case))
    used = []

    def spy(features: Tensor, masks: Tensor, *rest: int) -> Tensor:
        used.append(masks)
        return carafe(features, masks, *rest)

    out = reassembly_mmcv.down(x, kernels, stride, groups, spy)
    torch.testing.assert_close(out.double(), naive(x, kernels, *case[:3]), rtol=1e-5, atol=1e-5)
    assert used[0].shape[1] == reassembly_mmcv.number_of_masks(kernels.shape[1], stride, 1, groups)
    if (k, stride, groups) == (5, 2, 1):
        assert used[0].shape[1] == 4 * 9
        assert (used[0] == 0).all((0, 2, 3)).sum() == 11
