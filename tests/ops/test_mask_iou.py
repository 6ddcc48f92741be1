"""mask_iou against counting pixels."""

import pytest
import torch

from mmagg.ops import mask_iou


def naive_iou(masks: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(len(masks), len(masks), dtype=torch.float64)
    for i, a in enumerate(masks):
        for j, b in enumerate(masks):
            union = (a | b).sum().item()
            out[i, j] = (a & b).sum().item() / union if union else 0
    return out


@pytest.mark.parametrize('byte_budget', [1, 300, 2**30])
def test_equals_counting(byte_budget: int) -> None:
    masks = torch.rand(7, 9, 13) > torch.rand(7, 1, 1)
    masks[2] = False
    torch.testing.assert_close(mask_iou(masks, byte_budget=byte_budget), naive_iou(masks).float())


def test_empty_masks_have_iou_zero() -> None:
    assert (mask_iou(torch.zeros(3, 4, 5, dtype=torch.bool)) == 0).all()


@pytest.mark.parametrize('shape', [(0, 4, 5), (1, 1, 1)])
def test_none_and_one(shape: tuple[int, int, int]) -> None:
    iou = mask_iou(torch.ones(shape, dtype=torch.bool))
    assert iou.shape == (shape[0], shape[0])
    assert (iou == 1).all()


def test_autocast_does_not_round_the_counts() -> None:
    masks = torch.rand(4, 100, 100) > 0.5
    with torch.autocast('cpu', dtype=torch.bfloat16):
        iou = mask_iou(masks)
    assert iou.dtype == torch.float32
    assert torch.equal(iou, mask_iou(masks))
