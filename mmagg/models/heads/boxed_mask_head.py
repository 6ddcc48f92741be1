"""The head of BlendMask and MEInst: FCOS's boxes, each with a mask from coefficients predicted at its location.

    feats ──► LocationHead ──► classes, boxes, centerness ──► positives or detections ──► their locations
        └───► Coefficients.features ──────────────────────► Coefficients.at (only at these locations)
        └───► BoxedMasks.features (BlendMask's bases) ────► BoxedMasks.loss or BoxedMasks.decode

Without masks, it is FCOS (MEInst, Table 6): only the first line is there, in training and in inference.

Shape shorthand: B images, G objects of the batch, P positives, M detections, D coefficients, R mask size.
"""

from collections.abc import Sequence

import torch
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.models.heads.location_head import LocationHead, LocationMaps, LocationTargets
from mmagg.models.masks.boxed.boxed_masks import BoxedMasks, Positives, Regions
from mmagg.models.masks.boxed.coefficients import Coefficients
from mmagg.models.postprocess import BoxedMaskPostProcessor, DetectedBoxes
from mmagg.models.targets import semantic_target
from mmagg.ops.stage import stage


@MODELS.register_module()
class BoxedMaskHead(BaseModule):
    """Detects boxes, and decodes a mask for each box that survives NMS.

    Args:
        boxes: config of the `LocationHead`.
        masks: config of the `BoxedMasks`: `BlendedMasks` (BlendMask) or `CodedMasks` (MEInst); None: boxes alone.
        coefficients: arguments of `Coefficients`, without `num_coefficients`; not read where the masks need none.
        semantic: config of an auxiliary head (`SemanticHead`), run in training only; None for none.
        levels: indices of the neck's levels on which boxes are detected; None: the first ones.
        loss_mask_weight: weight of the mask loss.
        train_cfg: `max_positives`: most locations per batch in the mask loss, chosen at random (None: all).
        test_cfg: arguments of `BoxedMaskPostProcessor`.
    """

    def __init__(
        self,
        *,
        boxes: dict,
        masks: dict | None,
        coefficients: dict | None = None,
        semantic: dict | None = None,
        levels: Sequence[int] | None = None,
        loss_mask_weight: float = 1.0,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.boxes: LocationHead = MODELS.build(boxes)
        self.levels = tuple(range(len(self.boxes.strides)) if levels is None else levels)
        self.masks: BoxedMasks | None = None if masks is None else MODELS.build(masks)
        number = 0 if self.masks is None else self.masks.num_coefficients
        self.coefficients = (
            Coefficients(num_coefficients=number, **dict(channels=self.boxes.channels) | (coefficients or {}))
            if number
            else None
        )
        self.semantic = None if semantic is None else MODELS.build(semantic)
        self.loss_mask_weight = loss_mask_weight
        self.max_positives = (train_cfg or {}).get('max_positives')
        self.post_process = BoxedMaskPostProcessor(**(test_cfg or {}))

    def forward(self, feats: Sequence[Tensor]) -> tuple[LocationMaps, Sequence[Tensor], Tensor | None]:
        """The dense part of the head.

        Args:
            feats: the neck's levels, each (B, C, h, w).

        Returns:
            classes, boxes and centerness; features for the coefficients, (B, C', h, w) per level; the maps that all
            masks share, see `BoxedMasks.features`.
        """
        maps, features = self.find(feats)
        return maps, features, self.shared(feats)

    def shared(self, feats: Sequence[Tensor]) -> Tensor | None:
        """The maps that all masks share, see `BoxedMasks.features`; None without masks."""
        return None if self.masks is None else self.masks.features(feats)

    def find(self, feats: Sequence[Tensor]) -> tuple[LocationMaps, Sequence[Tensor]]:
        """`forward` without the shared maps."""
        pyramid = [feats[level] for level in self.levels]
        maps = self.boxes(pyramid)
        if self.coefficients is None:
            return maps, ()
        return maps, self.coefficients.features(pyramid, maps.box_feats)

    # Training

    def loss(self, feats: Sequence[Tensor], batch_data_samples: list, positive_infos: None = None) -> dict[str, Tensor]:
        """All losses of a batch; mmdet's detectors call it.

        Args:
            feats: the neck's levels.
            batch_data_samples: B `DetDataSample` with `gt_instances` (bboxes, labels and, if the head has masks or a
                semantic head, masks), `ignored_instances` and the image's sizes.
            positive_infos: unused, part of mmdet's interface.

        Returns:
            `loss_cls`, `loss_bbox`, `loss_centerness`, `loss_mask` if there are masks, and `loss_semantic` if there is
            such a head.
        """
        instances, ignored, metas = unpack_gt_instances(batch_data_samples)
        ignored = [x or InstanceData() for x in ignored]
        boxes = [x.bboxes for x in instances]
        # Targets first: whatever waits for the GPU does so before the towers are queued on it.
        sizes = [feats[level].shape[-2:] for level in self.levels]
        targets = self.boxes.assign(sizes, boxes, [x.labels for x in instances])
        gt_masks = None if self.masks is None else self.masks.targets(batch_data_samples)

        maps, features, shared = self(feats)
        losses = self.boxes.loss(maps, targets)
        if gt_masks is not None:
            losses['loss_mask'] = self.mask_loss(features, shared, targets, instances, gt_masks)
        if self.semantic is not None:
            size, stride = metas[0]['batch_input_shape'], self.semantic.stride
            wanted = [
                semantic_target(x.masks, x.labels, y.get('masks'), y.get('labels'), size=size, stride=stride)
                for x, y in zip(instances, ignored, strict=True)
            ]
            losses['loss_semantic'] = self.semantic.loss(feats, torch.stack(wanted))
        return losses

    def mask_loss(
        self,
        features: Sequence[Tensor],
        shared: Tensor | None,
        targets: LocationTargets,
        instances: Sequence[InstanceData],
        gt_masks: Tensor,
    ) -> Tensor:
        """The positives' mask loss, averaged with their centerness as weights; `gt_masks` of `BoxedMasks.targets`."""
        places, gts, weights = targets.places, targets.gts, targets.centerness
        denominator = targets.denominator
        if self.max_positives is not None and len(places) > self.max_positives:
            chosen = torch.randperm(len(places))[: self.max_positives]
            places, chosen = places[chosen], chosen.to(gts.device, non_blocking=True)
            denominator = denominator * weights[chosen].sum() / weights.sum()
            gts, weights = gts[chosen], weights[chosen]
        coefficients = None if self.coefficients is None else self.coefficients.at(features, places)
        objects = Regions(
            rois=torch.cat([in_image(x.bboxes, i) for i, x in enumerate(instances)]),
            labels=torch.cat([x.labels for x in instances]),
            shared=shared,
        )
        positives = Positives(coefficients, gts, weights, denominator)
        masks: BoxedMasks = self.masks  # type: ignore[assignment]  # None has no targets
        return self.loss_mask_weight * masks.loss(positives, objects, gt_masks)

    # Inference

    def predict(
        self, feats: Sequence[Tensor], batch_data_samples: list, rescale: bool = True, results_list: None = None
    ) -> list[InstanceData]:
        """Detections of a batch; mmdet's detectors call it.

        Args:
            feats: the neck's levels.
            batch_data_samples: B `DetDataSample` with the image's sizes.
            rescale: masks and boxes in the original image's frame, else in that of the network's input.
            results_list: unused, part of mmdet's interface.

        Returns:
            per image the result of `BoxedMaskPostProcessor.paste`.
        """
        maps, features = self.find(feats)
        metas = [sample.metainfo for sample in batch_data_samples]
        found = [self.detect(maps, i, tuple(meta['img_shape'][:2])) for i, meta in enumerate(metas)]
        # Without any detection the shared maps are not needed.
        shared = self.shared(feats) if any(len(x.boxes) for x in found) else None
        return [
            self.post_process.paste(
                None if self.masks is None else self.decode([x[i : i + 1] for x in features], shared, detections, i),
                detections,
                img_shape=tuple(meta['img_shape'][:2]),
                out_size=tuple(meta['ori_shape' if rescale else 'img_shape'][:2]),
            )
            for i, (detections, meta) in enumerate(zip(found, metas, strict=True))
        ]

    def detect(self, maps: LocationMaps, image: int, img_shape: tuple[int, int]) -> DetectedBoxes:
        """Detections of one image of the batch."""
        logits, centerness = (
            torch.cat([x[image].flatten(1) for x in levels], 1).float() for levels in (maps.cls_logits, maps.centerness)
        )
        return self.post_process.detect(
            logits.sigmoid_().t(),
            centerness.sigmoid_()[0],
            self.boxes.boxes_of(maps, image),
            [x[image, 0].numel() for x in maps.cls_logits],
            img_shape,
        )

    @stage('merging')
    def decode(
        self, features: Sequence[Tensor], shared: Tensor | None, detections: DetectedBoxes, image: int
    ) -> Tensor:
        """(M, R, R) mask logits of an image's M detections, of a head with masks.

        Args:
            features: for the coefficients, of this image, (1, C', h, w) per level.
            shared: shared maps of the batch.
            detections: the boxes.
            image: index of the image in the batch.
        """
        masks: BoxedMasks = self.masks  # type: ignore[assignment]  # as said above
        boxes = detections.boxes
        if len(boxes) == 0:
            return boxes.new_zeros(0, masks.mask_size, masks.mask_size)
        coefficients = None if self.coefficients is None else self.coefficients.at(features, detections.places)
        return masks.decode(coefficients, Regions(in_image(boxes, image), detections.labels, shared))


def in_image(boxes: Tensor, image: int) -> Tensor:
    """(N, 4) boxes -> (N, 5) with the image's index in front."""
    return torch.cat([boxes.new_full((len(boxes), 1), image), boxes], dim=1)
