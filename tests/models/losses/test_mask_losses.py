"""The cosine distance of codes and the loss of each mask, against loops."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor

from mmagg.models.losses import CosineDistanceLoss, per_mask


def test_a_mask_s_loss_is_the_mean_of_its_pixels() -> None:
    losses = torch.rand(3, 4, 5)
    want = [sum(x for row in mask for x in row) / 20 for mask in losses.tolist()]
    assert per_mask(losses).tolist() == pytest.approx(want)
    assert per_mask(losses[:0]).shape == (0,)
    assert per_mask(losses[:, 0, 0]).tolist() == losses[:, 0, 0].tolist(), 'one number a mask stays'


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_cosine_distance_equals_a_loop(reduction: str) -> None:
    pred, target, weight = torch.randn(4, 6).double(), torch.randn(4, 6).double(), torch.rand(4).double()
    want = []
    for a, b, w in zip(pred.tolist(), target.tolist(), weight.tolist(), strict=True):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        want.append(0.7 * w * (1 - dot / math.hypot(*a) / math.hypot(*b)))
    want = {'none': want, 'sum': sum(want), 'mean': sum(want) / 4}[reduction]
    loss = CosineDistanceLoss(reduction='sum' if reduction == 'sum' else 'mean', loss_weight=0.7)
    override = 'none' if reduction == 'none' else None
    assert loss(pred, target, weight, reduction_override=override).tolist() == pytest.approx(want)
    if reduction == 'mean':
        assert loss(pred, target, weight, avg_factor=8).item() == pytest.approx(want / 2, rel=1e-6)


def test_of_nothing_and_of_zeros() -> None:
    none = torch.zeros(0, 6, requires_grad=True)
    loss = CosineDistanceLoss(reduction='sum')(none, torch.zeros(0, 6))
    loss.backward()
    assert loss == 0
    zeros = torch.zeros(1, 6, requires_grad=True)  # without a direction
    CosineDistanceLoss()(zeros, torch.ones(1, 6)).backward()
    assert zeros.grad.isfinite().all()


@pytest.mark.parametrize('name, function', [('L1Loss', F.l1_loss), ('SmoothL1Loss', F.smooth_l1_loss)])
def test_mmdets_losses_are_pytorchs_bit_for_bit(name: str, function: Callable[..., Tensor]) -> None:
    """MEInst's losses between codes were PyTorch's."""
    pred, target, upstream = 2 * torch.randn(50, 60), torch.randn(50, 60), torch.rand(50, 60)
    outcomes = []
    for loss, options in ((MODELS.build(dict(type=name)), 'reduction_override'), (function, 'reduction')):
        given = pred.clone().requires_grad_()
        value = loss(given, target, **{options: 'none'})
        value.backward(upstream)
        outcomes.append((value, given.grad))
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.equal(ours, theirs)
