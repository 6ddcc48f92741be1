"""BlendMask's masks in the frame of the image: the same masks as in the frame of a box, and beyond it."""

import pytest
import torch
import torch.nn.functional as F
from boxed_heads import BASIS
from mmdet.registry import MODELS

from mmagg.models.masks.boxed.blendmask_from_boxes import linear_weights
from mmagg.models.masks.boxed.boxed_masks import Positives, Regions

SIZE, STRIDE = 8, 4


def masks(**options):
    torch.manual_seed(0)
    config = dict(
        type='BlendedMasksFromBoxes',
        basis=BASIS,
        stride=STRIDE,
        mask_size=SIZE,
        attention_size=3,
        mask_targets=dict(type='BoxInstTargets'),
        loss_mask=dict(type='BoxInstLoss'),
    )
    return MODELS.build(config | options)


@pytest.fixture
def objects() -> Regions:
    """Three objects in two images, the first two over whole pixels of the bases."""
    rois = torch.tensor([[1, 8, 4, 40, 36], [0, 0, 20, 32, 52], [1, 33, 9.5, 46, 61]])
    return Regions(rois, torch.zeros(3, dtype=torch.long), torch.randn(2, 4, 20, 24))


@pytest.mark.parametrize('options', [{}, dict(attention_size=1), dict(merger='gate', basis=BASIS | dict(num_bases=1))])
def test_in_its_box_a_mask_is_what_is_predicted(objects, options) -> None:
    given = masks(**options)
    objects = objects._replace(shared=objects.shared[:, : given.basis.num_bases].contiguous())
    gts, coefficients = torch.tensor([0, 1, 0]), torch.randn(3, given.num_coefficients)
    whole = given.merge_objects(given.pool_objects(objects), objects, gts, coefficients)
    assert whole.shape == (3, 20, 24)
    predicted = given.decode(coefficients, Regions(objects.rois[gts], objects.labels[gts], objects.shared))
    for mask, (_, x, y, *_), want in zip(whole, (objects.rois[gts] / STRIDE).long().tolist(), predicted, strict=True):
        torch.testing.assert_close(mask[y : y + SIZE, x : x + SIZE], want)


def test_attention_is_interpolated_and_goes_on_beyond_the_box() -> None:
    """Against `grid_sample`, which takes the border's values outside."""
    low, high = torch.tensor([[3.0, -5], [10, 20]]).double(), torch.tensor([[40.0, 9], [10.5, 76]]).double()
    rows, columns = (
        linear_weights(low[:, axis], high[:, axis], before=5, after=after, stride=STRIDE)
        for axis, after in ((1, 20), (0, 24))
    )
    attention = torch.randn(2, 3, 5, 5).double()
    y, x = torch.meshgrid(*((torch.arange(side) + 0.5) * STRIDE for side in (20, 24)), indexing='ij')
    places = torch.stack([x, y], dim=-1).double()
    grid = 2 * (places - low[:, None, None]) / (high - low)[:, None, None] - 1
    want = F.grid_sample(attention, grid, padding_mode='border', align_corners=False)
    torch.testing.assert_close(rows[:, None] @ attention @ columns[:, None].mT, want)


def test_chunks_change_nothing(objects) -> None:
    gts, weights = torch.tensor([0, 1, 2, 2, 0]), torch.rand(5)
    targets = torch.rand(3, 5, 20, 24) < 0.5
    results = []
    for byte_budget in (2**28, 1):
        given = masks(byte_budget=byte_budget)
        torch.manual_seed(1)
        coefficients = torch.randn(5, given.num_coefficients).requires_grad_()
        shared = objects.shared.clone().requires_grad_()
        loss = given.loss(
            Positives(coefficients, gts, weights, weights.sum()), objects._replace(shared=shared), targets
        )
        loss.backward()
        results.append((loss.detach(), coefficients.grad, shared.grad))
    torch.testing.assert_close(*results)
    assert all(x.any() for x in results[0])


def test_autocast_does_not_round_attention(objects) -> None:
    given, gts = masks(), torch.arange(3)
    coefficients = torch.randn(3, given.num_coefficients)
    want = given.merge_objects(objects.shared, objects, gts, coefficients)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(given.merge_objects(objects.shared, objects, gts, coefficients), want)


@pytest.mark.parametrize(
    'options', [dict(top='nearest'), dict(merger='assemble', basis=BASIS | dict(num_bases=9), attention_size=3)]
)
def test_it_says_what_it_cannot_blend(options) -> None:
    with pytest.raises(ValueError, match='bilinear attention'):
        masks(**options)
