"""RLE from mmdet's CondInst and RTMDet-Ins, against their bitmaps."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import CondInstMaskHead, RTMDetInsHead
from mmdet.models.utils import aligned_bilinear
from mmdet.structures.mask import encode_mask_results
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmagg.costs.timing import measure
from mmagg.models.postprocess import encode_masks
from mmagg.models.postprocess.image_masks import _condinst_taps, _rtmdet_taps
from mmagg.ops import rle_to_masks

CPU = torch.device('cpu')
# Padded input of 96 × 128, the image in it, and originals that are larger, much smaller and as large.
SIZES = [((90, 128), (135, 192)), ((96, 100), (27, 28)), ((60, 128), (60, 128))]


def blobs(number: int) -> Tensor:
    """(N, 24, 32) logits of smooth masks, at a quarter of the input."""
    noise = torch.randn(1, 7, 4, 5, generator=torch.Generator().manual_seed(0))
    return 4 * F.interpolate(noise, size=(24, 32), mode='bicubic')[0, :number]


def meta(img_shape: tuple[int, int], ori_shape: tuple[int, int]) -> dict:
    scale = tuple(a / b for a, b in zip(img_shape[::-1], ori_shape[::-1], strict=True))
    return dict(img_shape=img_shape, ori_shape=ori_shape, scale_factor=scale)


class RTMDetIns(RTMDetInsHead):
    """mmdet's, whose kernels are the masks."""

    def _mask_predict_by_feat_single(self, mask_feat, kernels, priors):
        return kernels.view(-1, *mask_feat.shape[1:])

    def predict(self, logits: Tensor, rescale: bool, sizes: dict, max_per_img: int = 5) -> InstanceData:
        corners = 200.0 * torch.arange(len(logits))[:, None].expand(-1, 2)  # apart: all survive NMS
        given = InstanceData(
            bboxes=torch.cat([corners, corners + 50], 1),
            scores=torch.linspace(0.9, 0.5, len(logits)),
            labels=torch.zeros(len(logits), dtype=torch.long),
            kernels=logits.flatten(1),
            priors=torch.zeros(len(logits), 4),
        )
        cfg = ConfigDict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=max_per_img, mask_thr_binary=0.4)
        return self._bbox_mask_post_process(given, logits, cfg, rescale=rescale, img_meta=sizes)


class CondInst(CondInstMaskHead):
    """mmdet's, of masks that are given."""

    def predict(self, logits: Tensor, rescale: bool, sizes: dict, **_) -> InstanceData:
        boxes = torch.rand(len(logits), 4, generator=torch.Generator().manual_seed(1)) * 90
        (found,) = self.predict_by_feat([logits], [InstanceData(bboxes=boxes)], [sizes], rescale=rescale)
        return found


def condinst() -> CondInst:
    features = dict(
        in_channels=8, feat_channels=8, start_level=0, end_level=2, out_channels=8, mask_stride=8, num_stacked_convs=1
    )
    return CondInst(features, loss_mask=dict(type='DiceLoss'), test_cfg=ConfigDict(mask_thr=0.4))


def rtmdet() -> RTMDetIns:
    strides = dict(type='MlvlPointGenerator', offset=0, strides=[4, 8])
    return RTMDetIns(
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        norm_cfg=dict(type='BN'),
        anchor_generator=strides,
        bbox_coder=dict(type='DistancePointBBoxCoder'),
    )


@pytest.mark.parametrize('make', [condinst, rtmdet])
@pytest.mark.parametrize('rescale', [True, False])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
def test_the_same_masks_and_boxes_come_as_rle(make, rescale: bool, sizes) -> None:
    encoding = nn.ModuleList([make()])
    head = deepcopy(encoding)[0]
    encode_masks(encoding)
    for number in (0, 1, 7):
        logits = blobs(number)
        want = head.predict(logits, rescale, meta(*sizes))
        found = encoding[0].predict(logits, rescale, meta(*sizes))
        assert torch.equal(found.bboxes, want.bboxes)
        assert len(found.masks) == len(want.masks) == min(number, 5 if make is rtmdet else 7)
        if number:
            assert isinstance(found.masks, list)
            masks = rle_to_masks(found.masks, *want.masks.shape[1:])
            assert torch.equal(masks, want.masks)
            assert 0.1 < masks.float().mean() < 0.9
    assert '_mask_predict_by_feat_single' not in vars(encoding[0])


@pytest.mark.parametrize('sizes', SIZES, ids=str)
def test_a_map_of_an_axis_is_mmdets_resizing(sizes) -> None:
    x = torch.rand(3, 24, 32)
    (height, width), (tall, wide) = sizes
    rows, columns = _condinst_taps(24, 4, height, tall, CPU), _condinst_taps(32, 4, width, wide, CPU)
    cropped = aligned_bilinear(x[None], 4)[:, :, :height, :width]
    want = F.interpolate(cropped, size=(tall, wide), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(mapped(x, rows, columns), want)
    rows, columns = _rtmdet_taps(24, 4, tall, tall - 3, CPU), _rtmdet_taps(32, 4, wide, wide - 1, CPU)
    large = F.interpolate(x[None], scale_factor=4, mode='bilinear')
    want = F.interpolate(large, size=(tall, wide), mode='bilinear', align_corners=False)[0, :, : tall - 3, : wide - 1]
    torch.testing.assert_close(mapped(x, rows, columns), want)
    for taps in (rows, columns):
        torch.testing.assert_close(taps.weight.sum(1), torch.ones(len(taps.weight)))


def mapped(x: Tensor, rows, columns) -> Tensor:
    across = (x[:, :, columns.neighbours] * columns.weight).sum(3)
    return (across[:, rows.neighbours] * rows.weight[:, :, None]).sum(2)


def objects(number: int, height: int, width: int) -> Tensor:
    """(N, h, w) logits of discs with radii of 2 to 25 pixels."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(2, number, 1, 1, generator=generator) * torch.tensor([height, width]).view(2, 1, 1, 1)
    radius = torch.exp(0.7 + 2.5 * torch.rand(number, 1, 1, generator=generator))
    y, x = torch.arange(height)[:, None] - centre[0], torch.arange(width) - centre[1]
    return 4 * (radius - (y**2 + x**2).sqrt()) / radius.sqrt()


@pytest.mark.slow
@pytest.mark.parametrize('make', [condinst, rtmdet])
def test_they_take_a_fraction_of_mmdets_time_and_memory(make, capsys) -> None:
    """100 masks of 200 × 304 pixels to RLE: `pytest -m slow -s tests/models/postprocess/test_image_masks.py`."""
    encoding = nn.ModuleList([make()])
    head = deepcopy(encoding)[0]
    encode_masks(encoding)
    logits = objects(100, 200, 304)
    for size in ((480, 720), (1600, 2432)):
        given = dict(max_per_img=100) | dict(logits=logits, rescale=True, sizes=meta((800, 1216), size))
        forms = {
            'mmdet': lambda given=given: encode_mask_results(head.predict(**given).masks.numpy()),
            'ours': lambda given=given: encoding[0].predict(**given).masks,
        }
        assert [x['counts'].encode() for x in forms['ours']()] == [x['counts'] for x in forms['mmdet']()]
        found = measure(forms, CPU, 3)
        with capsys.disabled():
            print(  # noqa: T201
                f'\n{make.__name__} to {size}:',
                *(f'{k} {v["ms"]:.0f} ms, {v["mib"]:.0f} MiB;' for k, v in found.items()),
            )
        for unit in ('ms', 'mib'):
            assert found['ours'][unit] < 0.2 * found['mmdet'][unit]
