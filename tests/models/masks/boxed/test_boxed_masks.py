"""The contract of masks in boxes, for every kind and for a new one."""

import pytest
import torch
from boxed_heads import BASIS, BLENDED, boxed_head, pyramid
from coded_heads import CODED
from grid_heads import CLASSES, batch_samples
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmagg.models.masks.boxed.boxed_masks import BoxedMasks, Positives, Regions

KINDS = {
    'blend': BLENDED,
    'blend, one by one': BLENDED | dict(byte_budget=1),
    'assemble': BLENDED | dict(basis=BASIS | dict(num_bases=16), merger='assemble'),
    'codes': CODED,
    'implicit': CODED | dict(loss='implicit'),
    'ellipse': dict(type='EllipseMasks'),
}


@MODELS.register_module(force=True)
class EllipseMasks(BoxedMasks):
    """An ellipse in each box, whose size is the one coefficient."""

    mask_size, num_coefficients = 14, 1

    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        coefficients, gts, weights, denominator = positives
        logits, wanted = self.decode(coefficients, objects), targets[gts].float()
        losses = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction='none')
        return (losses.flatten(1).mean(1) * weights).sum() / denominator

    def decode(self, coefficients: Tensor | None, regions: Regions) -> Tensor:
        line = torch.linspace(-1, 1, 14)
        return 9 * (coefficients[:, :, None].sigmoid() - line[:, None] ** 2 - line**2)


def case(kind: str, positives: int = 6, objects: int = 3) -> tuple[BoxedMasks, Positives, Regions, Tensor]:
    """Masks of this kind, and some positives of some objects in two images."""
    masks = MODELS.build(KINDS[kind])
    corners = torch.rand(objects, 2, 2).mul(60).sort(1).values.flatten(1) + torch.tensor([0, 0, 8, 8])
    rois = torch.cat([torch.arange(objects)[:, None] % 2, corners], 1)
    regions = Regions(rois, torch.randint(0, CLASSES, (objects,)), masks.features(pyramid(2, 96, 128)))
    number, weights = masks.num_coefficients, torch.rand(positives)
    coefficients = torch.randn(positives, number, requires_grad=True) if number else None
    gts = torch.randint(0, objects, (positives,)) if objects else torch.zeros(0, dtype=torch.long)
    targets = (torch.rand(objects, masks.mask_size, masks.mask_size) > 0.5).to(torch.uint8)
    return masks, Positives(coefficients, gts, weights, torch.tensor(5.0)), regions, targets


@pytest.mark.parametrize('kind', KINDS)
def test_the_loss_is_a_sum_over_positives(kind: str) -> None:
    masks, (coefficients, gts, weights, denominator), regions, targets = case(kind)
    total = 0.0
    for i in range(6):
        own = None if coefficients is None else coefficients[i : i + 1]
        total += masks.loss(Positives(own, gts[i : i + 1], weights[i : i + 1], denominator), regions, targets)
    together = masks.loss(Positives(coefficients, gts, weights, denominator), regions, targets)
    assert together > 0
    torch.testing.assert_close(together, total)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('objects', [0, 3])
def test_without_positives_it_is_zero_with_gradients(kind: str, objects: int) -> None:
    masks, positives, regions, targets = case(kind, positives=0, objects=objects)
    loss = masks.train().loss(positives, regions, targets)
    loss.backward()
    assert loss == 0
    assert positives.coefficients is None or positives.coefficients.grad is not None
    assert all(p.grad is not None and not p.grad.any() for p in masks.parameters())


@torch.no_grad()
@pytest.mark.parametrize('kind', KINDS)
def test_boxes_are_decoded_independently(kind: str) -> None:
    masks, positives, (rois, labels, shared), _ = case(kind, positives=3)
    coefficients = positives.coefficients
    logits = masks.decode(coefficients, Regions(rois, labels, shared))
    assert logits.shape == (3, masks.mask_size, masks.mask_size)
    assert logits.dtype == torch.float32
    for part in (slice(0, 1), slice(1, 3), slice(0, 0)):
        own = None if coefficients is None else coefficients[part]
        torch.testing.assert_close(masks.decode(own, Regions(rois[part], labels[part], shared)), logits[part])


def test_a_new_kind_trains_and_predicts() -> None:
    head = boxed_head('blend', masks=KINDS['ellipse'], semantic=None)
    losses = head.loss(pyramid(2, 96, 128), batch_samples(['few', 'empty'], 96, 128))
    sum(losses.values()).backward()
    assert losses['loss_mask'] > 0
    assert all(p.grad.isfinite().all() for p in head.parameters())
    (found,) = head.eval().predict(pyramid(1, 96, 128), batch_samples(['few'], 96, 128))
    assert found.masks.any()
    with pytest.raises(TypeError, match='abstract'):
        BoxedMasks()
