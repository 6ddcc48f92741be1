"""Losses of masks and codes."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mmagg.models.losses import per_mask


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_cosine_distance(reduction: str) -> None:
    pred, target, weight = torch.randn(7, 5), torch.randn(7, 5), torch.rand(7)
    loss = MODELS.build(dict(type='CosineDistanceLoss', loss_weight=2.0))
    each = torch.stack([1 - a @ b / a.norm() / b.norm() for a, b in zip(pred, target, strict=True)])
    want = 2 * (each if reduction == 'none' else getattr(each, reduction)())
    torch.testing.assert_close(loss(pred, target, reduction_override=reduction), want)
    torch.testing.assert_close(loss(pred, target, weight, avg_factor=3.0), 2 * (each * weight).sum() / 3)


def test_the_losses_of_pixels_are_averaged() -> None:
    pixels = torch.rand(3, 4, 5)
    torch.testing.assert_close(per_mask(pixels), torch.stack([x.mean() for x in pixels]))
    assert torch.equal(per_mask(pixels[:, 0, 0]), pixels[:, 0, 0])


@pytest.mark.parametrize('name, function', [('L1Loss', F.l1_loss), ('SmoothL1Loss', F.smooth_l1_loss)])
def test_mmdets_losses_are_pytorchs_bit_for_bit(name: str, function) -> None:
    """MEInst's losses between codes were PyTorch's."""
    pred, target, upstream = 2 * torch.randn(50, 60), torch.randn(50, 60), torch.rand(50, 60)
    outcomes = []
    for loss in (MODELS.build(dict(type=name)), function):
        given = pred.clone().requires_grad_()
        options = {} if loss is function else dict(reduction_override='none')
        value = loss(given, target, **options) if options else function(given, target, reduction='none')
        value.backward(upstream)
        outcomes.append((value, given.grad))
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.equal(ours, theirs)
