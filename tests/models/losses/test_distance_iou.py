"""The smoothed IoU losses against the release's values, and against mmdet's losses without smoothing."""

import pytest
import torch
from mmdet.models.losses import GIoULoss

from mmagg.models.losses import DistanceIoULoss, distance_iou


@pytest.fixture
def case(shared) -> dict:
    return torch.load(shared / 'golden/blendmask/fcos_iou_losses.pt', weights_only=True)


def test_ious_are_the_release_s(case) -> None:
    iou, giou = distance_iou(case['pred'], case['target'])
    torch.testing.assert_close(iou, case['ious'], rtol=2e-5, atol=1e-6)
    torch.testing.assert_close(giou, case['gious'], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize('kind', ['iou', 'linear_iou', 'giou'])
def test_losses_and_gradients_are_the_release_s(case, kind) -> None:
    pred = case['pred'].clone().requires_grad_()
    loss = DistanceIoULoss(kind=kind)(pred, case['target'], case['weight'])
    torch.testing.assert_close(loss, case[f'loss_{kind}'], rtol=2e-5, atol=0)
    (grad,) = torch.autograd.grad(loss, pred)
    want = case[f'grad_{kind}']
    assert (grad - want).abs().max() <= 1e-4 * want.abs().max()


def test_without_smoothing_it_is_mmdet_s_giou() -> None:
    pred, target, weight = 5 * torch.rand(30, 4), 5 * torch.rand(30, 4), torch.rand(30)
    boxes = [torch.cat([-x[:, :2], x[:, 2:]], dim=1) for x in (pred, target)]
    want = GIoULoss()(*boxes, weight, avg_factor=1)
    torch.testing.assert_close(DistanceIoULoss(smooth=0.0)(pred, target, weight), want)
    torch.testing.assert_close(DistanceIoULoss(smooth=0.0, loss_weight=3.0)(pred, target, weight), 3 * want)


def test_nothing_has_no_loss_but_a_gradient() -> None:
    pred = torch.zeros(0, 4, requires_grad=True)
    loss = DistanceIoULoss()(pred, torch.zeros(0, 4), torch.zeros(0))
    loss.backward()
    assert loss == 0
    assert pred.grad.shape == (0, 4)


def test_a_wrong_kind_is_named() -> None:
    with pytest.raises(ValueError, match="kind is 'diou'"):
        DistanceIoULoss(kind='diou')
