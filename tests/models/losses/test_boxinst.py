"""BoxInst's losses against mmdet's head on the same logits and boxes, and what must hold of them."""

import pytest
import torch
from mmdet.models.dense_heads import BoxInstMaskHead
from mmdet.models.utils import unfold_wo_center
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData

from mmagg.models.losses import BoxInstLoss
from mmagg.models.losses.boxinst import pairwise_loss, projection_loss
from mmagg.ops.pixel_pairs import STEPS, at_neighbour

SIZE = (12, 15)
BOXES = torch.tensor([[0, 0, 20, 30], [12, 8, 50, 40], [30, 5, 59, 47], [20, 20, 24, 24.0]])


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(P, H, W) logits and boxes, and for each of mmdet's eight neighbours (P, 8, H, W) whether colours are alike."""
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(len(BOXES), *SIZE, generator=generator)
    boxes = torch.zeros(len(BOXES), *SIZE)
    for mask, (x1, y1, x2, y2) in zip(boxes, (BOXES / 4).long().tolist(), strict=True):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    lab = torch.randint(0, 3, (1, 1, *SIZE), generator=generator).float()
    there = unfold_wo_center(torch.ones(1, 1, *SIZE), kernel_size=3, dilation=2)[:, 0]
    alike = (unfold_wo_center(lab, kernel_size=3, dilation=2)[:, 0] == lab[:, 0, None]) * there
    return logits, boxes, alike.expand(len(BOXES), -1, -1, -1)


def halved(alike: torch.Tensor) -> torch.Tensor:
    """Of mmdet's eight neighbours those that are steps."""
    eight = sorted(STEPS + tuple((-rows, -columns) for rows, columns in STEPS))
    return alike[:, [eight.index(step) for step in STEPS]]


def mmdet_losses(logits: torch.Tensor, boxes: torch.Tensor, alike: torch.Tensor) -> dict[str, torch.Tensor]:
    """Those of mmdet's head for one image whose objects have a positive each, after the warm-up."""
    head = BoxInstMaskHead.__new__(BoxInstMaskHead)
    torch.nn.Module.__init__(head)
    head.pairwise_size, head.pairwise_dilation, head.warmup_iters = 3, 2, 1
    head.max_masks_to_train = head.topk_masks_per_img = -1
    head.mask_out_stride = 1
    head.loss_mask = MODELS.build(dict(type='mmdet.DiceLoss', use_sigmoid=True, activate=True, eps=5e-6))
    MessageHub.get_current_instance().update_info('iter', 1)
    gts = InstanceData(
        bboxes=BOXES[: len(logits)], masks=BitmapMasks(boxes.byte().numpy(), *SIZE), pairwise_masks=alike.float()
    )
    positives = InstanceData(pos_assigned_gt_inds=torch.arange(len(logits)))
    return head.loss_by_feat([logits], [gts], [{}], [positives])


@pytest.fixture(autouse=True)
def hub() -> None:
    """A message hub of the test alone."""
    MessageHub.get_instance('boxinst')
    yield
    MessageHub._instance_dict.pop('boxinst', None)


def test_projection_is_mmdet_s(case) -> None:
    logits, boxes, alike = case
    theirs = mmdet_losses(logits, boxes, alike)['loss_mask_project']
    torch.testing.assert_close(projection_loss(logits, boxes).mean(), theirs)


def test_pairwise_is_mmdet_s_with_its_gradient(case) -> None:
    """Of each mask alone, and of all: mmdet's mean over the pairs of all masks is ours, weighted by their pairs."""
    logits, boxes, alike = case
    grads = []
    for loss in (
        lambda one: mmdet_losses(one, boxes[:1], alike[:1])['loss_mask_pairwise'],
        lambda one: pairwise_loss(one, boxes[:1], halved(alike[:1])).sum(),
    ):
        one = logits[:1].clone().requires_grad_()
        value = loss(one)
        value.backward()
        grads.append((value.detach(), one.grad))
    torch.testing.assert_close(grads[0], grads[1])
    ours = pairwise_loss(logits, boxes, halved(alike))
    pairs = (alike * boxes[:, None]).flatten(1).sum(1)
    theirs = mmdet_losses(logits, boxes, alike)['loss_mask_pairwise']
    torch.testing.assert_close((ours * pairs).sum() / pairs.sum(), theirs)


def test_gradients_in_double_precision() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 6, dtype=torch.double, requires_grad=True)
    boxes = torch.zeros(2, 5, 6, dtype=torch.double)
    boxes[:, 1:4, 2:5] = 1
    alike = (torch.rand(2, 4, 5, 6) < 0.6).double()
    assert torch.autograd.gradcheck(lambda x: (projection_loss(x, boxes), pairwise_loss(x, boxes, alike)), logits)


def test_extreme_logits_are_finite() -> None:
    logits = torch.tensor([-1e4, 1e4, 0.0])[torch.randint(0, 3, (3, 8, 8))].requires_grad_()
    target = torch.ones(3, 5, 8, 8)
    loss = BoxInstLoss()(logits.bfloat16(), target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_a_box_without_pairs_costs_its_projection_alone() -> None:
    logits, target = torch.randn(2, 8, 8), torch.zeros(2, 5, 8, 8)
    target[:, 0, 2:6, 1:5] = 1
    assert torch.equal(BoxInstLoss()(logits, target, reduction_override='none'), projection_loss(logits, target[:, 0]))
    assert BoxInstLoss()(logits[:0], target[:0], reduction_override='sum') == 0


def test_the_true_mask_costs_less_than_its_box() -> None:
    """A disc that touches all sides of its box, on a ground of another colour."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing='ij')
    disc = (rows - 12) ** 2 + (columns - 12) ** 2 <= 64
    box = torch.zeros(24, 24)
    box[4:21, 4:21] = 1
    alike = torch.stack([at_neighbour(disc, step) == disc for step in STEPS]).float()
    alike *= torch.stack([at_neighbour(torch.ones(24, 24), step) for step in STEPS])
    target = torch.cat([box[None], alike])[None]
    disc_cost, box_cost = (BoxInstLoss()(20 * (x[None].float() - 0.5), target).item() for x in (disc, box))
    assert disc_cost == pytest.approx(0, abs=1e-3)
    assert box_cost > 0.5


def test_the_pairwise_loss_grows() -> None:
    logits, target = torch.randn(2, 8, 8), torch.ones(2, 5, 8, 8)
    both = projection_loss(logits, target[:, 0]), pairwise_loss(logits, target[:, 0], target[:, 1:])
    for iteration, share in ((None, 1), (0, 0), (30, 0.3), (100, 1), (500, 1)):
        if iteration is not None:
            MessageHub.get_current_instance().update_info('iter', iteration)
        loss = BoxInstLoss(warmup=100, pairwise_weight=2, loss_weight=3)
        want = 3 * (both[0] + 2 * share * both[1])
        torch.testing.assert_close(loss(logits, target, reduction_override='none'), want)
        torch.testing.assert_close(
            loss(logits, target, weight=torch.tensor([1.0, 3]), avg_factor=4), (want[0] + 3 * want[1]) / 4
        )
    MessageHub.get_current_instance().update_info('iter', 0)
    torch.testing.assert_close(BoxInstLoss(warmup=0)(logits, target), (both[0] + both[1]).mean())
