"""SOLO's and BlendMask's heads with BoxInst's losses: what must hold whatever the weights."""

import pytest
import torch
from boxed_heads import BLENDED, boxed_head
from boxed_heads import pyramid as boxed_pyramid
from grid_heads import KINDS as GRID_KINDS
from grid_heads import batch_samples, mmagg_head
from grid_heads import pyramid as grid_pyramid

from mmagg.models.losses.boxinst import projection_loss
from mmagg.models.targets.boxes_only import box_pixels, rectangles

LOSS, TARGETS = dict(type='BoxInstLoss'), dict(type='BoxInstTargets')
HEIGHT, WIDTH = 96, 128


def build(kind: str, **loss):
    if kind in GRID_KINDS:
        return mmagg_head(kind, loss_mask=LOSS | loss, mask_targets=TARGETS)
    blended = BLENDED | dict(type='BlendedMasksFromBoxes', mask_targets=TARGETS, loss_mask=LOSS | loss)
    return boxed_head('no semantic', masks=blended)


def pyramid(kind: str, batch: int) -> list[torch.Tensor]:
    return (grid_pyramid if kind in GRID_KINDS else boxed_pyramid)(batch, HEIGHT, WIDTH)


def samples(kinds: list[str]):
    """As `BoxesOnlyDataPreprocessor` makes them."""
    found = batch_samples(kinds, HEIGHT, WIDTH)
    generator = torch.Generator().manual_seed(0)
    for sample in found:
        sample.gt_instances.masks = rectangles(sample.gt_instances.bboxes, sample.img_shape)
        sample.colours = torch.randint(0, 3, (3, HEIGHT // 4, WIDTH // 4), generator=generator) * 8.0
    return found


kinds = pytest.mark.parametrize('kind', ['solo', 'blendmask'])


@pytest.mark.parametrize('kind', [*GRID_KINDS, 'blendmask'])
@pytest.mark.parametrize('images', [['few', 'empty'], ['empty', 'empty'], ['tiny', 'crowded']])
def test_every_parameter_has_a_finite_gradient(kind, images) -> None:
    head = build(kind)
    losses = head.loss(pyramid(kind, 2), samples(images))
    sum(losses.values()).backward()
    assert (losses['loss_mask'] == 0) == (images == ['empty', 'empty'])
    for name, p in head.named_parameters():
        assert p.grad is not None, f'DistributedDataParallel would wait for {name}'
        assert torch.isfinite(p.grad).all(), name


@kinds
def test_the_loss_of_a_batch_is_that_of_its_images(kind, monkeypatch) -> None:
    """The mean over the positives of all, each with its weight."""
    head, feats, objects = build(kind).double(), [x.double() for x in pyramid(kind, 2)], samples(['few', 'crowded'])
    counts = []

    def counted(feats: list[torch.Tensor], samples: list) -> torch.Tensor:
        """The mask loss times the sum of the weights."""
        boxes = [x.gt_instances.bboxes for x in samples]
        if kind == 'solo':
            masks = [torch.from_numpy(x.gt_instances.masks.to_ndarray()) for x in samples]
            found = [head.assigner.assign(*pair, (HEIGHT, WIDTH)) for pair in zip(boxes, masks, strict=True)]
            counts.append(sum(len(x.cells) for x in found))
        else:
            sizes = [x.shape[-2:] for x in feats]
            counts.append(head.boxes.assign(sizes, boxes, [x.gt_instances.labels for x in samples]).denominator)
        return head.loss(feats, samples)['loss_mask'] * counts[-1]

    together = counted(feats, objects)
    alone = [counted([x[i : i + 1] for x in feats], objects[i : i + 1]) for i in range(2)]
    assert counts[0] > counts[1] > 0
    torch.testing.assert_close(together, sum(alone), rtol=1e-4, atol=0)


def test_a_cell_s_mask_is_compared_with_the_box_of_its_object() -> None:
    """Without the pairwise loss, SOLO's is the projection loss of the positive cells, each at its level's size."""
    head, feats, objects = build('solo', pairwise_weight=0), grid_pyramid(1, HEIGHT, WIDTH), samples(['few'])
    (gts,) = (x.gt_instances for x in objects)
    loss = head.loss(feats, objects)['loss_mask']
    found = head.assigner.assign(gts.bboxes, torch.from_numpy(gts.masks.to_ndarray()), (HEIGHT, WIDTH))
    _, masks = head(feats)
    values = []
    for level, part, local in head.by_level(found.cells.numpy()):
        source = masks[level]
        boxes = box_pixels(gts.bboxes[found.gts[part]], stride=source.stride, size=source.size)
        values.append(projection_loss(source.at(0, torch.from_numpy(local)), boxes.float()))
    torch.testing.assert_close(loss, torch.cat(values).mean())
