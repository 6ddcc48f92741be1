"""Colours and boxes of images without masks, against mmdet's `BoxInstDataPreprocessor`."""

import pytest
import torch
from mmdet.models.data_preprocessors import BoxInstDataPreprocessor
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmagg.models.targets import BoxesOnlyDataPreprocessor, BoxInstTargets
from mmagg.models.targets.boxes_only import box_pixels
from mmagg.ops.pixel_pairs import STEPS

BOXES = [[[3.2, 5, 30, 41], [0, 0, 63.5, 47], [20, 30, 24, 34]], [[10, 10, 39, 31.9]], []]
SIZES = [(48, 64), (32, 40), (40, 64)]


def batch(boxes: list = BOXES, sizes: list = SIZES) -> dict:
    """Images of 4 x 4 blocks of few colours; mmdet rounds means down, of blocks there is nothing to round."""
    generator = torch.Generator().manual_seed(0)
    images, samples = [], []
    for corners, (height, width) in zip(boxes, sizes, strict=True):
        blocks = torch.randint(0, 3, (3, height // 4 + 1, width // 4 + 1), generator=generator) * 2 + 100
        images.append(blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width].byte())
        gts = InstanceData(
            bboxes=HorizontalBoxes(torch.tensor(corners).reshape(-1, 4)), labels=torch.zeros(len(corners))
        )
        shapes = dict(img_shape=(height, width), ori_shape=(height, width))
        samples.append(DetDataSample(metainfo=shapes, gt_instances=gts))
    return dict(inputs=images, data_samples=samples)


def prepared(data: dict, **options) -> list[DetDataSample]:
    return BoxesOnlyDataPreprocessor(pad_size_divisor=16, pad_mask=True, **options)(data, training=True)['data_samples']


@pytest.mark.parametrize('bottom', [0, 10])
def test_boxes_and_pairs_are_mmdet_s(bottom) -> None:
    pytest.importorskip('skimage')
    preprocessor = BoxInstDataPreprocessor(
        mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=True, pad_size_divisor=16, bottom_pixels_removed=bottom
    )
    eight = sorted(STEPS + tuple((-rows, -columns) for rows, columns in STEPS))
    kept = [eight.index(step) for step in STEPS]
    for corners, size in zip(BOXES[:2], SIZES[:2], strict=True):  # alone: with others mmdet removes fewer rows of them
        (theirs,) = preprocessor(batch([corners], [size]), training=True)['data_samples']
        ours = BoxInstTargets()(prepared(batch([corners], [size]), bottom=bottom), stride=4, size=theirs_size(theirs))
        masks = torch.from_numpy(theirs.gt_instances.masks.masks)[:, 2::4, 2::4]
        # mmdet looks whether a neighbour is in the image; a pixel of a box always is, unless it was removed.
        alike = theirs.gt_instances.pairwise_masks[:, kept].bool()
        here = ~prepared(batch([corners], [size]), bottom=bottom)[0].colours[0].isnan()
        assert torch.equal(ours[:, 0], masks.bool())
        assert torch.equal(ours[:, 1:], alike & here)
        assert 0.1 < ours[:, 1:].float().mean() < 0.9


def theirs_size(sample: DetDataSample) -> tuple[int, int]:
    height, width = sample.batch_input_shape
    return height // 4, width // 4


def test_batch_equals_one_by_one() -> None:
    """Also where a part of the batch is padding."""
    together = BoxInstTargets()(prepared(batch()), stride=4, size=(12, 16))
    first = 0
    for corners, size, image in zip(BOXES, SIZES, batch()['inputs'], strict=True):
        data = batch([corners], [size]) | dict(inputs=[image])
        samples = prepared(data)
        height, width = theirs_size(samples[0])
        alone = BoxInstTargets()(samples, stride=4, size=(height, width))
        own = together[first : first + len(corners), :, :height, :width]
        assert torch.equal(own, alone)
        assert not together[first : first + len(corners), 1:, height:].any()
        first += len(corners)
    assert first == len(together)


def test_no_pair_reaches_into_the_padding_or_the_bottom() -> None:
    data = batch([[[0, 0, 40, 32]]], [(30, 38)])
    data['inputs'] = [torch.full((3, 30, 38), 7, dtype=torch.uint8)]
    (sample,) = prepared(data, bottom=5)
    assert sample.colours.shape == (3, 8, 12)
    assert sample.colours[0].isfinite().tolist() == [
        [column < 9 for column in range(12)] if row < 6 else [False] * 12 for row in range(8)
    ]
    (target,) = BoxInstTargets()([sample], stride=4, size=(8, 12))
    right = STEPS.index((0, 2))
    assert target[1 + right].tolist() == [
        [column < 7 for column in range(12)] if row < 6 else [False] * 12 for row in range(8)
    ]


def test_coarser_masks_have_the_mean_colours() -> None:
    data = batch([[[0, 0, 64, 64]]], [(64, 64)])
    samples = prepared(data, bottom=0)
    coarse = prepared(batch([[[0, 0, 64, 64]]], [(64, 64)]), bottom=0, stride=8)
    ours = [BoxInstTargets(threshold=0.05)(x, stride=8, size=(8, 8)) for x in (samples, coarse)]
    assert torch.equal(*ours)
    assert ours[0][:, 1:].any()
    assert samples[0].colours.shape[-2:] == (16, 16)


def test_red_comes_first() -> None:
    data = batch([[]], [(16, 16)])
    data['inputs'] = [torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 16, 16)]  # mmdet's BGR
    for options in ({}, dict(mean=[1, 2, 3], std=[4, 5, 6], bgr_to_rgb=True)):
        (sample,) = prepared(dict(data), bottom=0, **options)
        assert sample.colours[:, 0, 0].tolist() == [30, 20, 10]


def test_masks_are_the_boxes() -> None:
    samples = prepared(batch())
    masks = [sample.gt_instances.masks.to_ndarray() for sample in samples]
    assert [mask.shape for mask in masks] == [(3, 48, 64), (1, 48, 64), (0, 48, 64)]
    assert masks[1].sum() == pytest.approx(29 * 22, rel=0.05)
    assert masks[1][0, 11:31, 11:38].all()


def test_prediction_is_mmdet_s() -> None:
    data = BoxesOnlyDataPreprocessor(mean=[1.0] * 3, std=[2.0] * 3)(batch(), training=False)
    assert 'colours' not in data['data_samples'][0]
    assert 'masks' not in data['data_samples'][0].gt_instances


def test_a_pixel_is_in_a_box_that_touches_it() -> None:
    boxes = torch.tensor([[2.9, 0, 6.0, 1.9], [2.9, 0, 6.0, 2.0], [3, 3, 5, 5]])
    columns = [[True, True, False], [True, True, False], [False, False, False]]
    for mask, row, want in zip(box_pixels(boxes, stride=4, size=(2, 3)), [False, True, False], columns, strict=True):
        assert mask.tolist() == [[row and one for one in want], [False] * 3]


def test_without_colours_it_says_who_makes_them() -> None:
    with pytest.raises(ValueError, match='BoxesOnlyDataPreprocessor'):
        BoxInstTargets()([DetDataSample()], stride=4, size=(4, 4))
