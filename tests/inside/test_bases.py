"""Bases and attention of blended masks against the masks themselves."""

import pytest
import torch
import torch.nn.functional as F
from boxed_heads import boxed_head, pyramid
from grid_heads import batch_samples

from mmagg.inside.bases import Ingredients, ingredients

KINDS = ('blend', 'weighted sum', 'gate', 'assemble')
SIZES = [(96, 128), (80, 100)]


def predicted(kind, **test_cfg):
    """A head, the pyramid of two images, and what it detects in them."""
    head, feats = boxed_head(kind, test_cfg=test_cfg).eval(), pyramid(2, 96, 128)
    with torch.no_grad():
        results = head.predict(feats, batch_samples(['few', 'few'], 96, 128, image_sizes=SIZES))
    return head, feats, results


def made_of(head, feats, instances, image: int) -> Ingredients:
    return ingredients(head, feats, instances, image=image, img_shape=SIZES[image])


def at_bin_centres(bases, box, size):
    """Bases (K, h, w) at stride 4, bilinearly at the centres of `size` x `size` bins of a box within the image."""
    x1, y1, x2, y2 = (box.double() / 4 - 0.5).tolist()
    bins = (torch.arange(size, dtype=torch.double) + 0.5) / size
    height, width = bases.shape[1:]
    x = (x1 + (x2 - x1) * bins).clamp(0, width - 1) * 2 / (width - 1) - 1
    y = (y1 + (y2 - y1) * bins).clamp(0, height - 1) * 2 / (height - 1) - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
    return F.grid_sample(bases[None].double(), grid[None], align_corners=True)[0]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('image', [0, 1])
def test_bases_attention_and_masks(kind, image) -> None:
    head, feats, results = predicted(kind)
    instances, size = results[image][[4, 0, 2]], head.masks.attention_size
    made = made_of(head, feats, instances, image)

    with torch.no_grad():
        torch.testing.assert_close(made.bases, head.masks.basis(feats)[image], rtol=1e-4, atol=1e-4)
    height, width = instances.masks.shape[1:]
    scale = torch.tensor([SIZES[image][1] / width, SIZES[image][0] / height]).repeat(2)
    torch.testing.assert_close(made.boxes, instances.bboxes * scale)
    for box, pooled in zip(made.boxes, made.pooled, strict=True):
        expected = at_bin_centres(made.bases, box, head.masks.mask_size)
        torch.testing.assert_close(pooled.double(), expected, rtol=1e-3, atol=1e-3)

    if kind == 'assemble':
        assert made.attention is None
        cell = torch.arange(14) * 4 // 14
        logits = torch.stack(
            [torch.stack([made.pooled[:, cell[y] * 4 + cell[x], y, x] for x in range(14)], dim=-1) for y in range(14)],
            dim=-2,
        )
        torch.testing.assert_close(made.probs, logits.sigmoid())
        return
    with torch.no_grad():
        everywhere = [head.coefficients.conv(x) for x in head.boxes(feats).box_feats]
    everywhere = torch.cat([x[image].flatten(1) for x in everywhere], dim=1)
    attention = everywhere[:, instances.places].t().unflatten(1, (-1, size, size))
    assert attention.shape == (3, head.masks.basis.num_bases, size, size)
    expected = attention.sigmoid() if kind == 'gate' else attention.softmax(1)
    torch.testing.assert_close(made.attention, expected, rtol=1e-3, atol=1e-4)
    resized = F.interpolate(attention, size=(14, 14), mode='bilinear')
    if kind == 'gate':
        probs = (made.pooled.sigmoid() * resized.sigmoid())[:, 0]
    else:
        probs = (made.pooled * resized.softmax(1)).sum(1).sigmoid()
    torch.testing.assert_close(made.probs, probs, rtol=1e-3, atol=1e-4)


def test_several_classes_at_a_place_and_boxes_beside_the_image() -> None:
    head, feats, results = predicted('blend', clip_boxes=False, iou_thr=1.0, score_thr=0.01, max_per_img=1000)
    with torch.no_grad():
        detections, instances = head.detect(head.find(feats)[0], 1, SIZES[1]), results[1]
    assert len(instances) < len(detections.boxes), 'some are left out'
    assert len(instances.places.unique()) < len(instances)
    made = made_of(head, feats, instances, 1)
    inside = torch.tensor([100.0, 80])
    clipped = torch.cat([part.clamp(min=0).minimum(inside) for part in made.boxes.split(2, dim=1)], dim=1)
    width, height = instances.masks.shape[:0:-1]
    scale = torch.tensor([width / 100, height / 80]).repeat(2)
    torch.testing.assert_close(clipped * scale, instances.bboxes)
    assert (made.boxes != clipped).any()
    assert len(made.pooled) == len(made.attention) == len(made.probs) == len(instances)
    alone = made_of(head, feats, instances[[8]], 1)
    torch.testing.assert_close(alone.probs[0], made.probs[8], rtol=0, atol=0)
