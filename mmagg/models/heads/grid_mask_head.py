"""The head of SOLO, Decoupled SOLO, SOLOv2 and AggMask: a class and a mask per grid cell.

    feats ── resize ──► levels ──► class tower ─────────────► class logits per cell
                           └─────► mask branch ─► aggregator ► LocalMasks per level (nothing computed yet)
    training:   assigner ──► positive cells ──► decode ──► mask loss
    inference:  class scores ──► candidates ──► decode ──► MaskPostProcessor

Shape shorthand: B images, C classes, S grid side, Q = sum of S² over the levels, P positives, N candidates,
(H, W) mask size.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmdet.utils import reduce_mean
from mmengine.dist import get_world_size
from mmengine.model import BaseModule, bias_init_with_prob, normal_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmagg.models.layers import ConvTower
from mmagg.models.losses import per_mask
from mmagg.models.masks import LocalMasks
from mmagg.models.postprocess import CandidateMasks, MaskPostProcessor
from mmagg.models.targets import GridTargets, downsample_masks
from mmagg.ops import points_nms, upload
from mmagg.ops.grid_align import ALIGNMENTS
from mmagg.ops.stage import stage
from mmagg.ops.zero_gradients import ZeroGradients


@MODELS.register_module()
class GridMaskHead(BaseModule):
    """Classifies all grid cells, and decodes the masks of the positive ones or of the candidates only.

    Args:
        num_classes: number of classes, without background.
        in_channels: channels of the pyramid.
        feature_strides: stride of each level of the pyramid.
        strides: stride at which the head works on each level. A level is resized where the two differ.
        grids: grid side S of each level, of the classes; the mask branch may have coarser `grids` if an aggregator
            interpolates.
        class_tower: arguments of the `ConvTower` that classifies the cells (without `in_channels`).
        class_align: how a level becomes a vector per cell for the class tower (SOLO, Sec. 3.3): 'interpolate' (the
            releases), 'adaptive_pool' or 'region_grid'; see `mmagg.ops.grid_align`.
        mask_branch: config of the mask branch, which makes `LocalMasks` from the levels.
        assigner: config of the assigner; `grids` is filled in.
        aggregator: config of a module (`DynamicAggregator`) that is called with the pyramid, its resized levels, the
            class tower's outputs and the `LocalMasks`, and returns `LocalMasks` indexed by class cells; None for none.
        loss_cls: class loss, given logits (B*Q, C) and labels (B*Q,).
        loss_mask: mask loss, given logits and targets (P, H, W); one value per mask, or per pixel and then averaged.
        mask_targets: config of a module that makes the targets of the mask loss (`BoxInstTargets`); None: the annotated
            masks.
        train_cfg: `max_positives`: most positive cells per image in the mask loss, chosen at random (None: all).
        test_cfg: arguments of `MaskPostProcessor`.

    Raises:
        ValueError: if the numbers of levels differ, or the grids of classes and masks do without an aggregator; unknown
            `class_align`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 256,
        feature_strides: Sequence[int] = (4, 8, 16, 32, 64),
        strides: Sequence[int] = (8, 8, 16, 32, 32),
        grids: Sequence[int] = (40, 36, 24, 16, 12),
        class_tower: dict,
        class_align: str = 'interpolate',
        mask_branch: dict,
        assigner: dict,
        aggregator: dict | None = None,
        loss_cls: dict,
        loss_mask: dict,
        mask_targets: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        if not len(feature_strides) == len(strides) == len(grids):
            raise ValueError(
                f'feature_strides {feature_strides}, strides {strides} and grids {grids} must have one entry per level'
            )
        if class_align not in ALIGNMENTS:
            raise ValueError(f'class_align is {class_align!r}; it must be one of {tuple(ALIGNMENTS)}')
        self.num_classes, self.class_align = num_classes, class_align
        self.feature_strides, self.strides, self.grids = tuple(feature_strides), tuple(strides), tuple(grids)
        self.class_tower = ConvTower(in_channels=in_channels, **class_tower)
        self.conv_cls = nn.Conv2d(class_tower['channels'], num_classes, 3, padding=1)
        self.mask_branch = MODELS.build(dict(grids=grids, strides=strides, in_channels=in_channels) | mask_branch)
        self.post_process = MaskPostProcessor(**(test_cfg or {}))
        mask_grids = tuple(self.mask_branch.grids)
        if aggregator is None and mask_grids != self.grids:
            raise ValueError(f'class grids {self.grids} and mask grids {mask_grids} differ: that takes an aggregator')
        given = dict(grids=grids, mask_grids=mask_grids, byte_budget=self.post_process.byte_budget)
        self.aggregator = None if aggregator is None else MODELS.build(given | aggregator)
        self.assigner = TASK_UTILS.build(dict(grids=grids) | assigner)
        self.loss_cls, self.loss_mask = MODELS.build(loss_cls), MODELS.build(loss_mask)
        self.mask_targets = None if mask_targets is None else MODELS.build(mask_targets)
        self.max_positives = (train_cfg or {}).get('max_positives')

    def init_weights(self) -> None:
        """The parts' own initialisation; classes start with a probability of 0.01."""
        super().init_weights()
        normal_init(self.conv_cls, std=0.01, bias=bias_init_with_prob(0.01))

    # Forward

    @stage('head')
    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], list[LocalMasks]]:
        """Class logits and lazy masks of every level.

        Args:
            feats: the pyramid, one (B, C', h, w) per level.

        Returns:
            a (B, C, S, S) per level, and a `LocalMasks` per level.
        """
        levels = self.resize(feats)
        align = ALIGNMENTS[self.class_align]
        class_feats = [self.class_tower(align(x, grid)) for x, grid in zip(levels, self.grids, strict=True)]
        masks = self.mask_branch(feats, levels)
        if self.aggregator is not None:
            masks = self.aggregator(feats, levels, class_feats, masks)
        return [self.conv_cls(x) for x in class_feats], masks

    def resize(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Resize the pyramid to the head's strides (P2 to P3's size, P6 to P5's)."""
        size_at = {stride: x.shape[-2:] for stride, x in zip(self.feature_strides, feats, strict=True)}
        return [
            x if given == wanted else F.interpolate(x, size=size_at[wanted], mode='bilinear', align_corners=False)
            for x, given, wanted in zip(feats, self.feature_strides, self.strides, strict=True)
        ]

    # Training

    def loss(self, feats: Sequence[Tensor], batch_data_samples: list, positive_infos: None = None) -> dict[str, Tensor]:
        """Class and mask loss of a batch; mmdet's detectors call it.

        Args:
            feats: the pyramid.
            batch_data_samples: B `DetDataSample` with `gt_instances` (bboxes, labels, masks) and the image's sizes.
            positive_infos: unused, part of mmdet's interface.

        Returns:
            `loss_cls` and `loss_mask`, both divided by the number of positive cells of all processes: a distributed
            run has the losses of one process on the same batch.
        """
        instances, _, metas = unpack_gt_instances(batch_data_samples)
        size, counts = metas[0]['batch_input_shape'], [len(x) for x in instances]
        gt_masks = upload(stacked_masks([x.masks for x in instances], size), feats[0].device)
        # The only waits for the GPU, before the towers are queued on it.
        targets = self.assigner.assign_batch(torch.cat([x.bboxes for x in instances]), gt_masks, size, counts)
        labels = torch.stack(
            [target.labels(x.labels, self.num_classes) for target, x in zip(targets, instances, strict=True)]
        )
        if self.max_positives is not None:
            targets = [target.sample(self.max_positives) for target in targets]
        cls_logits, masks = self(feats)
        annotated = partial(downsample_masks, gt_masks)
        wanted = annotated if self.mask_targets is None else partial(self.mask_targets, batch_data_samples)

        world = get_world_size()
        num_positives = (labels != self.num_classes).sum()
        num_masks = torch.full_like(num_positives, sum(len(target.cells.unique()) for target in targets))
        num_positives, num_masks = reduce_mean(torch.stack([num_positives, num_masks]).float())
        # In float32 also under autocast: mmcv's focal loss has no bfloat16, and in float16 it overflows.
        logits = cells_first(cls_logits).flatten(0, 1).float()
        return dict(
            loss_cls=self.loss_cls(logits, labels.flatten(), avg_factor=num_positives + 1 / world),
            loss_mask=self.sum_mask_losses(masks, targets, counts, wanted) / num_masks.clamp(min=1 / world),
        )

    def sum_mask_losses(
        self,
        masks: list[LocalMasks],
        targets: Sequence[GridTargets],
        counts: Sequence[int],
        wanted: Callable[..., Tensor],
    ) -> Tensor:
        """The sum of the mask losses of all positive cells (SOLO, Eq. 2).

        Args:
            masks: one per level.
            targets: per image.
            counts: objects per image.
            wanted: given the `stride` and `size` of masks, what they are compared with, (sum of counts, …).
        """
        # Masks of one size are compared at once, whatever image and level they are of.
        logits: dict[tuple, list[Tensor]] = {}
        objects: dict[tuple, list[Tensor]] = {}
        before = accumulate(counts, initial=0)
        for image, (target, first) in enumerate(zip(targets, before, strict=False)):
            for level, part, local in self.by_level(target.cells.numpy()):
                source = masks[level]
                key = source.stride, source.size
                logits.setdefault(key, []).append(source.at(image, torch.from_numpy(local)))
                objects.setdefault(key, []).append(target.gts[part] + first)
        total = self.conv_cls.weight.new_zeros((), dtype=torch.float32)
        for (stride, size), parts in logits.items():
            gts = upload(torch.cat(objects[stride, size]), parts[0].device)
            own = wanted(stride=stride, size=size)[gts]
            total = total + per_mask(self.loss_mask(torch.cat(parts), own, reduction_override='none')).sum()
        # Also for those that no positive cell used.
        branches = [self.mask_branch] + ([] if self.aggregator is None else [self.aggregator])
        parameters = [p for branch in branches for p in branch.parameters() if p.requires_grad]
        return ZeroGradients.apply(total, *parameters)

    def by_level(self, cells: np.ndarray) -> list[tuple[int, slice, np.ndarray]]:
        """(N,) ascending cells over all levels -> per level with cells: its index, their slice, their indices in it."""
        starts = np.cumsum([0, *(side**2 for side in self.grids)])  # integers also where torch.compile traces it
        bounds = np.searchsorted(cells, starts)
        return [
            (level, slice(begin, end), cells[begin:end] - starts[level])
            for level, (begin, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
            if begin < end
        ]

    # Inference

    def predict(
        self, feats: Sequence[Tensor], batch_data_samples: list, rescale: bool = True, results_list: None = None
    ) -> list[InstanceData]:
        """Detections of a batch; mmdet's detectors call it.

        Args:
            feats: the pyramid.
            batch_data_samples: B `DetDataSample` with the image's sizes.
            rescale: masks and boxes in the original image's frame, else in that of the network's input.
            results_list: unused, part of mmdet's interface.

        Returns:
            per image `scores`, `labels`, `masks` and `bboxes` (see `MaskPostProcessor`), and `cells` (M,), the
            instances' cells over all levels.
        """
        cls_logits, masks = self(feats)
        scores = [x.float().sigmoid() for x in cls_logits]
        if self.post_process.points_nms:
            scores = [points_nms(x) for x in scores]
        by_cell = cells_first(scores)
        return [
            self.predict_image(by_cell[i], masks, i, sample.metainfo, rescale)
            for i, sample in enumerate(batch_data_samples)
        ]

    def predict_image(
        self, scores: Tensor, masks: list[LocalMasks], image: int, meta: dict, rescale: bool
    ) -> InstanceData:
        """Detections of one image from its cells' class scores (Q, C)."""
        cells, labels = (scores > self.post_process.score_thr).nonzero(as_tuple=True)
        min_areas = upload(np.repeat(self.strides, np.square(self.grids)), scores.device)
        height, width = masks[0].size
        instances = self.post_process(
            CellMasks(self, masks, image, cells),
            scores=scores[cells, labels],
            labels=labels,
            min_areas=min_areas[cells],
            upsampled_size=(height * masks[0].stride, width * masks[0].stride),
            img_shape=tuple(meta['img_shape'][:2]),
            out_size=tuple(meta['ori_shape' if rescale else 'img_shape'][:2]),
        )
        instances.cells = cells[instances.pop('index')]
        return instances

    @stage('decode')
    def decode(self, masks: list[LocalMasks], image: int, cells: np.ndarray, device: torch.device) -> Tensor:
        """(N, H, W) mask probabilities of some cells, all at the first level's size.

        Args:
            masks: one per level.
            image: index of the image in the batch.
            cells: (N,) over all levels, in any order; a cell that occurs twice is computed once.
            device: of the masks.
        """
        distinct, place = np.unique(cells, return_inverse=True)
        probs = torch.cat(
            [
                masks[level].probs_at(image, torch.from_numpy(local), masks[0].size)
                for level, _, local in self.by_level(distinct)
            ]
        )
        return probs if np.array_equal(distinct, cells) else probs[upload(place, device)]


class CellMasks(CandidateMasks):
    """The masks of an image's candidate cells (N,), counted over all levels; decoded when they are asked for."""

    def __init__(self, head: GridMaskHead, masks: list[LocalMasks], image: int, cells: Tensor) -> None:
        self.size = masks[0].size
        self._head, self._masks, self._image = head, masks, image
        self._cells, self._device = cells.cpu().numpy(), cells.device

    def probs(self, index: Tensor) -> Tensor:
        return self._head.decode(self._masks, self._image, self._cells[index.numpy()], self._device)


def stacked_masks(masks: Sequence[BitmapMasks | PolygonMasks], size: tuple[int, int]) -> np.ndarray:
    """The masks of several images, of which some may be smaller than (H, W), as (G, H, W) uint8."""
    stacked = np.zeros((sum(map(len, masks)), *size), np.uint8)
    for part, own in zip(np.split(stacked, np.cumsum([len(x) for x in masks])[:-1]), masks, strict=True):
        part[:, : own.height, : own.width] = own.to_ndarray()
    return stacked


def cells_first(maps: list[Tensor]) -> Tensor:
    """Per level (B, C, S, S) -> (B, Q, C)."""
    return torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2)
