"""The grid family's post-processor against that of the torch model, on masks of every kind."""

import cv2
import numpy as np
import pytest
import torch

from mmagg.models.postprocess import CandidateMasks, MaskPostProcessor
from mmagg.rle.codes import decode_mask
from mmagg.runtime.grid_post_processor import GridPostProcessor

NMS = (
    None,
    {'type': 'MatrixNMS', 'kernel': 'linear'},
    {'type': 'MatrixNMS', 'sigma': 0.5, 'class_agnostic': True},
    {'type': 'MaskNMS'},
    {'type': 'MaskNMS', 'iou_thr': 0.3, 'class_agnostic': True},
)


class Held(CandidateMasks):
    """Masks that are there already."""

    def __init__(self, masks: torch.Tensor) -> None:
        self.masks, self.size = masks, tuple(masks.shape[1:])

    def probs(self, index: torch.Tensor) -> torch.Tensor:
        return self.masks[index]


def candidates(rng: np.random.Generator, num: int, size: tuple[int, int], *, ties: bool) -> dict[str, np.ndarray]:
    """Blobs and rectangles with rims; with ties also copies, equal scores, and pixels at the threshold."""
    masks = np.zeros((num, *size), np.float32)
    for mask in masks:
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        h, w = rng.integers(1, size[0] + 1), rng.integers(1, size[1] + 1)
        mask[y : y + h, x : x + w] = rng.choice([0.5, 1.0]) if ties else 0.5 + 0.5 * rng.random()
        if rng.random() < 0.7:
            mask += rng.normal(0, 0.3, size)
            mask[:] = cv2.GaussianBlur(mask, (0, 0), 1.5)
    scores = np.sort(rng.random(num, np.float32))[::-1].copy()
    if ties:
        scores = np.round(scores * 8) / 8
        masks[num // 2 :] = masks[: num - num // 2]
    return dict(
        scores=scores,
        labels=rng.integers(0, 3, num),
        min_areas=rng.choice([0, 4, 8, 64], num).astype(np.float32),
        masks=masks.clip(0, 1),
    )


def run_both(found, sizes, options):
    """Instances by torch and by NumPy."""
    passed = found['scores'] > np.float32(options.get('score_thr', 0.1))
    kept = {key: torch.from_numpy(x[passed]) for key, x in found.items()}
    nms = options.get('nms')
    theirs = MaskPostProcessor(mask_format='rle', **options | {'nms': nms and dict(nms)})(
        Held(kept.pop('masks')), **kept, **sizes
    )
    return theirs, GridPostProcessor(**options)(**found, **sizes)


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('seed', range(6))
def test_as_torch(seed: int, ties: bool) -> None:
    """Scores to a few roundings; masks to the bit where no pixel is at the threshold to a rounding."""
    pixels = differing = instances = 0
    for case in range(20):
        rng = np.random.default_rng([seed, case])
        size = tuple(rng.integers(1, 40, 2).tolist())
        crop = tuple(int(rng.integers(max(1, 4 * side - 31), 4 * side + 1)) for side in size)
        out = tuple(rng.integers(1, 160, 2).tolist())
        found = candidates(rng, int(rng.integers(0, 24)), size, ties=ties)
        options = dict(
            score_thr=float(rng.choice([0.0, 0.1, 0.99])),
            nms_pre=int(rng.choice([5, 500])),
            max_per_img=int(rng.choice([3, 100])),
            filter_thr=float(rng.choice([0, 0.05, 0.3])),
            mask_thr=float(rng.choice([0.5, 0.4])),
            nms=NMS[case % len(NMS)],
        )
        sizes = dict(upsampled_size=(4 * size[0], 4 * size[1]), img_shape=crop, out_size=out)
        theirs, ours = run_both(found, sizes, options)
        assert ours.size == out
        np.testing.assert_allclose(ours.scores, theirs.scores.numpy(), atol=1e-5)
        assert (ours.scores.dtype, ours.labels.dtype, ours.boxes.dtype) == (np.float32, np.int64, np.float32)
        np.testing.assert_array_equal(ours.labels, theirs.labels.numpy())
        for i, (mine, other) in enumerate(zip(ours.rles, theirs.masks, strict=True)):
            instances += 1
            a, b = decode_mask(mine), decode_mask(other)
            if mine == other:
                np.testing.assert_array_equal(ours.boxes[i], theirs.bboxes[i].numpy())
            pixels += a.size
            differing += int((a != b).sum())
    assert instances > 20
    assert differing <= (1e-3 if ties else 1e-6) * pixels


def test_images_without_an_instance() -> None:
    post_process = GridPostProcessor()
    sizes = dict(upsampled_size=(64, 96), img_shape=(60, 90), out_size=(33, 47))
    for num in (0, 3):
        found = candidates(np.random.default_rng(0), num, (16, 24), ties=False) | {'scores': np.zeros(num, np.float32)}
        none = post_process(**found, **sizes)
        assert (len(none), none.boxes.shape, none.rles) == (0, (0, 4), ())


@pytest.mark.parametrize(
    'options, error',
    [
        ({'score_thr': 1}, ValueError),
        ({'mask_thr': '0.5'}, TypeError),
        ({'nms_pre': 0}, ValueError),
        ({'filter_thr': float('nan')}, ValueError),
        ({'max_per_img': 0}, ValueError),
        ({'voting': {}}, TypeError),
        ({'nms': {'type': 'SoftNMS'}}, ValueError),
        ({'nms': {'type': 'MatrixNMS', 'kernel': 'cubic'}}, ValueError),
        ({'nms': {'type': 'MatrixNMS', 'sigma': 0}}, ValueError),
        ({'nms': {'type': 'MaskNMS', 'iou_thr': 2}}, ValueError),
        ({'nms': {'type': 'MaskNMS', 'sigma': 2}}, TypeError),
    ],
)
def test_settings_that_cannot_be_meant(options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        GridPostProcessor(**options)
