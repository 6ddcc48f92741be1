"""The boxed family's post-processor against that of the torch model, mmcv's NMS included."""

import numpy as np
import pytest
import torch

from mmagg.models.postprocess import BoxedMaskPostProcessor
from mmagg.rle.codes import decode_mask
from mmagg.runtime.boxed_post_processor import BoxedPostProcessor


def candidates(rng: np.random.Generator, num: int, side: int, size: tuple[int, int], *, ties: bool) -> dict:
    """Boxes in clusters, also beyond the image and without an area; with ties equal boxes, and logits of 0."""
    height, width = size
    centres = rng.random((max(1, num // 4), 2)) * [width, height]
    at = centres[rng.integers(0, len(centres), num)] + rng.normal(0, 6, (num, 2))
    extent = rng.exponential(max(size) / 4, (num, 2)) * (rng.random((num, 1)) > 0.05)
    boxes = np.concatenate([at - extent / 2, at + extent / 2], 1).astype(np.float32)
    scores = rng.random(num, np.float32)
    logits = rng.normal(0, 2, (num, side, side)).astype(np.float32)
    if ties:
        boxes = np.round(boxes / 8) * 8
        logits[rng.random(logits.shape) < 0.5] = 0
        logits[::3, :, : side // 2] = 0
    order = np.argsort(-scores, kind='stable')
    return dict(boxes=boxes[order], scores=scores[order], labels=rng.integers(0, 80, num) % 3, masks=logits)


def by_torch(found: dict, options: dict, img_shape: tuple[int, int], out_size: tuple[int, int]):
    """Instances of candidates whose score is above 0."""
    scores, labels, boxes = (torch.from_numpy(found[key]) for key in ('scores', 'labels', 'boxes'))
    post = BoxedMaskPostProcessor(mask_format='rle', **options | {'score_thr': 0})
    # Each candidate is a location whose other classes have probability 0.
    probs = torch.zeros(len(scores), 3).scatter_(1, labels[:, None], scores[:, None])
    kept = post.detect(probs, torch.ones(len(scores)), boxes, [len(scores)], img_shape)
    masks = torch.from_numpy(found['masks'])[kept.places]
    return post.paste(masks, kept, img_shape=img_shape, out_size=out_size)


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('seed', range(6))
def test_as_torch(seed: int, ties: bool) -> None:
    pixels = differing = instances = 0
    for case in range(17):
        rng = np.random.default_rng([seed, case])
        img_shape, out_size = (tuple(rng.integers(1, 130, 2).tolist()) for _ in range(2))
        found = candidates(rng, int(rng.integers(0, 50)), int(rng.choice([1, 7, 14, 28])), img_shape, ties=ties)
        options = dict(
            iou_thr=float(rng.choice([0.3, 0.6])),
            max_per_img=int(rng.choice([4, 100])),
            sqrt_score=bool(rng.integers(2)),
            clip_boxes=bool(rng.integers(2)),
            mask_thr=float(rng.choice([0.5, 0.4])),
        )
        theirs = by_torch(found, options, img_shape, out_size)
        ours = BoxedPostProcessor(**options)(**found, img_shape=img_shape, out_size=out_size)
        np.testing.assert_allclose(ours.scores, theirs.scores.numpy(), rtol=2e-7)
        np.testing.assert_array_equal(ours.labels, theirs.labels.numpy())
        np.testing.assert_array_equal(ours.boxes, theirs.bboxes.numpy())
        for mine, other in zip(ours.rles, theirs.masks, strict=True):
            a, b = decode_mask(mine), decode_mask(other)
            instances += 1
            pixels += a.size
            differing += int((a != b).sum())
    assert instances > 60
    assert differing <= 1e-6 * pixels


def test_of_equal_scores_the_first_comes_first() -> None:
    """For which PyTorch's order is none: it differs by the number of candidates, and by the processor."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        found = candidates(rng, 60, 7, (60, 80), ties=True)
        found['scores'] = np.ceil(found['scores'] * 4) / 4
        apart = found | {'scores': found['scores'] - np.arange(60, dtype=np.float32) / 2**12}
        sizes = dict(img_shape=(60, 80), out_size=(61, 70))
        one, other = (BoxedPostProcessor()(**some, **sizes) for some in (found, apart))
        np.testing.assert_array_equal(one.boxes, other.boxes)
        assert one.rles == other.rles
        assert len(np.unique(one.scores)) < len(one)


def test_no_masks_and_no_candidates() -> None:
    found = candidates(np.random.default_rng(0), 30, 7, (60, 80), ties=False)
    boxes = BoxedPostProcessor()(**found | {'masks': None}, img_shape=(60, 80), out_size=(120, 160))
    assert len(boxes) > 5
    assert boxes.rles == (None,) * len(boxes)
    found['scores'][:] = 0
    none = BoxedPostProcessor()(**found, img_shape=(60, 80), out_size=(120, 160))
    assert (len(none), none.boxes.shape, none.rles) == (0, (0, 4), ())


@pytest.mark.parametrize(
    'options, error',
    [
        ({'iou_thr': 0}, ValueError),
        ({'max_per_img': 0}, ValueError),
        ({'mask_thr': '0.5'}, TypeError),
        ({'nms_pre': 100}, TypeError),
    ],
)
def test_settings_that_cannot_be_meant(options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        BoxedPostProcessor(**options)
