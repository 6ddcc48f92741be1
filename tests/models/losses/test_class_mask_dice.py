"""The Dice loss of Mask R-CNN's masks, object by object, and in mmdet's head."""

import pytest
import torch
from mmdet.registry import MODELS

from mmagg.models.losses import ClassMaskDiceLoss


def test_each_object_s_own_class_counts() -> None:
    """SOLO, Eqs. 3 and 4: 1 - 2 Σpq / (Σp² + Σq²)."""
    logits, labels = torch.randn(4, 3, 5, 6).double().requires_grad_(), torch.tensor([2, 0, 2, 1])
    targets = (torch.rand(4, 5, 6) < 0.4).double()
    loss = ClassMaskDiceLoss(loss_weight=0.5)(logits, targets, labels)
    terms = []
    for mask, target, label in zip(logits, targets, labels, strict=True):
        p = mask[label].sigmoid()
        terms.append(1 - 2 * (p * target).sum() / (p.square().sum() + 1e-3 + target.square().sum() + 1e-3))
    torch.testing.assert_close(loss, 0.5 * sum(terms) / 4)
    loss.backward()
    others = torch.ones(4, 3).scatter(1, labels[:, None], 0).bool()
    assert not logits.grad[others].any()
    assert logits.grad[~others].flatten(1).any(1).all()


def test_a_perfect_mask_costs_nothing() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 3:7] = 1
    logits = torch.stack([-target, 100 * (2 * target - 1)], dim=1)
    assert ClassMaskDiceLoss()(logits, target, torch.tensor([1])).item() == pytest.approx(0, abs=1e-4)


def test_it_is_built_for_mmdet_s_head() -> None:
    head = MODELS.build(
        dict(
            type='mmdet.FCNMaskHead',
            num_convs=1,
            in_channels=4,
            conv_out_channels=4,
            num_classes=3,
            loss_mask=dict(type='ClassMaskDiceLoss'),
        )
    )
    assert isinstance(head.loss_mask, ClassMaskDiceLoss)
    assert head.loss_mask(head(torch.randn(2, 4, 7, 7)), torch.ones(2, 14, 14), torch.tensor([0, 2])).isfinite()
