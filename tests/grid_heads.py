"""Small heads of the SOLO family, as mmdet's and as ours, with the same weights, and batches to try them on."""

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmagg import register  # noqa: F401
from mmagg.weights.key_maps import mmdet_to_mmagg

KINDS = ('solo', 'decoupled', 'decoupled-light', 'solov2')
GRIDS = (10, 8, 6, 4, 3)
SCALE_RANGES = ((1, 32), (16, 48), (32, 96), (64, 192), (96, 2048))
CHANNELS, CLASSES = 16, 4
STRIDES = (8, 8, 16, 32, 32)
NORM = dict(type='GN', num_groups=4)
FOCAL = dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)
TEST_CFG = dict(score_thr=0.1, mask_thr=0.5, nms_pre=500, filter_thr=0.05)


def mmdet_head(kind: str, **test_cfg):
    """mmdet's head of this kind."""
    config = dict(
        num_classes=CLASSES,
        in_channels=CHANNELS,
        feat_channels=CHANNELS,
        stacked_convs=2,
        strides=STRIDES,
        scale_ranges=SCALE_RANGES,
        num_grids=list(GRIDS),
        norm_cfg=NORM,
        loss_cls=FOCAL,
        loss_mask=dict(type='DiceLoss', use_sigmoid=True, activate='decoupled' not in kind, loss_weight=3.0),
        test_cfg=ConfigDict(TEST_CFG | dict(kernel='gaussian', sigma=2.0, max_per_img=100) | test_cfg),
    )
    if kind == 'solov2':
        feature_head = dict(feat_channels=CHANNELS, start_level=0, end_level=3, out_channels=CHANNELS, norm_cfg=NORM)
        config['mask_feature_head'] = ConfigDict(feature_head)
    types = dict(zip(KINDS, ('SOLOHead', 'DecoupledSOLOHead', 'DecoupledSOLOLightHead', 'SOLOV2Head'), strict=True))
    return MODELS.build(dict(type=types[kind], **config))


def mmagg_head(kind: str, *, assigner=None, test_cfg=None, **options):
    """Our head of this kind, set to mmdet's behaviour where the two differ."""
    branch = dict(channels=CHANNELS, num_convs=2, norm_cfg=NORM)
    branch |= {
        'solo': dict(type='StaticMaskBranch'),
        'decoupled': dict(type='DecoupledMaskBranch'),
        'decoupled-light': dict(type='DecoupledMaskBranch', shared_tower=True),
        'solov2': dict(type='DynamicMaskBranch', feature_channels=CHANNELS, out_channels=CHANNELS),
    }[kind]
    conflicts = 'duplicate' if kind == 'solov2' else 'last'
    config = dict(
        type='GridMaskHead',
        num_classes=CLASSES,
        in_channels=CHANNELS,
        grids=GRIDS,
        class_tower=dict(channels=CHANNELS, num_convs=2, norm_cfg=NORM),
        mask_branch=branch,
        assigner=dict(
            type='GridCellAssigner', scale_ranges=SCALE_RANGES, conflicts=conflicts, min_area=1, rounding='trunc'
        )
        | (assigner or {}),
        loss_cls=FOCAL,
        loss_mask=dict(type='DiceLoss', use_sigmoid=True, loss_weight=3.0),
        test_cfg=TEST_CFG | (test_cfg or {}),
    )
    return MODELS.build(config | options)


def pair(kind: str, *, sharp: bool = False, **test_cfg):
    """mmdet's head and ours with the same random weights.

    Args:
        sharp: make class scores and masks spread over the whole range, so that there are detections.
    """
    theirs = mmdet_head(kind, **test_cfg)
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if 'gn' not in name:
                p.normal_(std=0.3 if p.ndim == 4 else 0.5)
            if sharp and name == 'conv_cls.bias':
                p.fill_(-1.0)
    ours = mmagg_head(kind)
    ours.load_state_dict(mmdet_to_mmagg(theirs.state_dict()), strict=True)
    return theirs, ours


def pyramid(batch: int, height: int, width: int, *, seed: int = 0, grad: bool = False) -> list[torch.Tensor]:
    """Random P2 to P6 of an input of this size."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(-(-height // s), -(-width // s)) for s in (4, 8, 16, 32, 64)]
    return [torch.randn(batch, CHANNELS, *size, generator=generator).requires_grad_(grad) for size in sizes]


def objects(kind: str, height: int, width: int, rng: np.random.Generator):
    """Boxes, labels and masks of one image: 'empty', 'few', 'crowded', 'tiny' (one pixel and other small ones)."""
    count = {'empty': 0, 'few': 4, 'crowded': 40, 'tiny': 12}[kind]
    masks = np.zeros((count, height, width), np.uint8)
    boxes = np.zeros((count, 4), np.float32)
    for i in range(count):
        side = rng.uniform(1, 5, 2) if kind == 'tiny' else rng.uniform(6, 0.8 * min(height, width), 2)
        w, h = np.maximum(side, 1)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        rows, cols = np.mgrid[:height, :width]
        masks[i] = ((cols + 0.5 - x - w / 2) / w) ** 2 + ((rows + 0.5 - y - h / 2) / h) ** 2 <= 0.25
        boxes[i] = x, y, x + w, y + h
    if kind == 'tiny':
        masks[0] = 0
        masks[0, height // 2, width // 3] = 1  # one pixel
        masks[1] = 0  # none at all
    return boxes, rng.integers(0, CLASSES, count), masks


def batch_samples(kinds, height: int, width: int, *, seed: int = 0, image_sizes=None) -> list[DetDataSample]:
    """A `DetDataSample` per kind of image, padded to (height, width)."""
    rng = np.random.default_rng(seed)
    samples = []
    for i, kind in enumerate(kinds):
        h, w = (height, width) if image_sizes is None else image_sizes[i]
        boxes, labels, masks = objects(kind, h, w, rng)
        gts = InstanceData(
            bboxes=torch.from_numpy(boxes), labels=torch.from_numpy(labels), masks=BitmapMasks(masks, h, w)
        )
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(h, w), ori_shape=(h * 3 // 4 + 1, w * 3 // 4 + 2), batch_input_shape=(height, width)
            ),
            gt_instances=gts,
        )
        samples.append(sample)
    return samples


# AggMask on each of them, and SODAR: what the mask branch is, how the grids lie, where the parameters come from.
AGGREGATED = ('solo', 'solo+cls', 'solo-mask', 'static', 'decoupled', 'solov2', 'solov2-own-tower')
DEFORMED = ('sodar', 'sodar-mask')


def aggmask_head(kind: str, **options):
    """Our head with AggMask's aggregator, small, with random weights that give masks of all sizes."""
    offsets = dict(type='NeighbourOffsets', channels=CHANNELS) if kind.startswith('sodar') else None
    kind = kind.replace('sodar', 'solo')
    base = kind if kind in KINDS else 'solov2' if kind.startswith('solov2') else 'solo'
    coarse = tuple(max(1, grid // 2) for grid in GRIDS)
    parameters = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS, kernel_size=3)
    if kind == 'static':
        parameters = dict(type='StaticParameters')
    elif kind == 'solov2':
        parameters |= dict(features='mask_tower', kernel_size=1, activation='none')
    elif kind == 'solov2-own-tower':
        parameters |= dict(features='own_tower', tower=dict(num_convs=1, norm_cfg=NORM))
    aggregator = dict(
        type='DynamicAggregator',
        neighbours='corners' if kind == 'solo-mask' else '4',
        context=dict(type='MultiLevelContext', in_channels=CHANNELS, channels=3, hidden_channels=8, num_groups=4),
        parameters=parameters,
        offsets=offsets,
        channels=2,
    )
    head = mmagg_head(base, aggregator=aggregator, **options) if kind not in ('solo+cls', 'solo-mask') else None
    if head is None:
        grids, mask_grids = ((12, 9, 6, 4, 3), GRIDS) if kind == 'solo+cls' else (GRIDS, coarse)
        branch = dict(type='StaticMaskBranch', channels=CHANNELS, num_convs=2, norm_cfg=NORM, grids=mask_grids)
        head = mmagg_head(base, grids=grids, mask_branch=branch, aggregator=aggregator, **options)
    with torch.no_grad():
        for name, p in head.named_parameters():
            if name.endswith('.weight') and p.ndim == 4:
                p.normal_(std=0.3)
        head.conv_cls.bias.fill_(-1.0)
    return head
