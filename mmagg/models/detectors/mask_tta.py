"""Test-time augmentation of instance segmentation: the predictions of several views of an image are merged.

Shape shorthand: V views, N instances of all views together, M of them kept, (H, W) original image.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmagg.models.postprocess import MaskNMS
from mmagg.ops import chunk_size, mask_voting, masks_to_rle, rle_to_masks
from mmagg.ops.mask_voting import WEIGHTS
from mmagg.ops.stage import stage
from mmagg.rle.codes import decode_mask, pairwise_iou, rle_boxes

FLIPPED = {'horizontal': (1,), 'vertical': (0,), 'diagonal': (0, 1)}  # axes of (H, W)
SCORES = ('mean', 'max')


@MODELS.register_module()
class MaskTTAModel(BaseTTAModel):
    """Runs a detector with masks, with or without boxes, on each view of an image.

    1. Predict the views one by one; flip masks and boxes back. The detector itself rescales them.
    2. Join the instances of all views. Two of a class with a mask IoU of at least `iou_thr` agree.
    3. Score: the mean over the views of the best score that agrees, or the instance's own.
    4. NMS on the masks' IoU.
    5. Mask voting among those that agree. A box tight around its mask, as box-free heads have it, becomes tight around
       the new mask; any other stays.

    Between these steps masks are RLE: memory hardly grows with the number of views.

    Args:
        module: the detector or its config. Masks are bool tensors or lists of RLE, and are returned as such.
        nms: config of an NMS, `(iou, scores, labels) -> scores`; None for `MaskNMS` with its defaults.
        iou_thr: smallest IoU of masks that agree, in [0, 1]. Below the threshold of the NMS, kept instances may share
            votes.
        weight: weights of the votes, 'avg', 'score' or 'iou', see `mmagg.ops.mask_voting`. Two votes of equal weight
            give the masks' intersection.
        score: 'mean', where a view without the instance counts as 0, or 'max', the kept instance's own.
        max_per_img: most instances per image.
        byte_budget: bytes of the tensors of a chunk of masks; a chunk has at least one.

    Raises:
        ValueError: a value outside these ranges.
    """

    def __init__(
        self,
        module: nn.Module | dict,
        *,
        nms: dict | None = None,
        iou_thr: float = 0.6,
        weight: str = 'score',
        score: str = 'mean',
        max_per_img: int = 100,
        byte_budget: int = 64 * 2**20,
    ) -> None:
        super().__init__(module)
        for name, value, good, range_ in (
            ('iou_thr', iou_thr, 0 <= iou_thr <= 1, 'a number in [0, 1]'),
            ('weight', weight, weight in WEIGHTS, f'one of {WEIGHTS}'),
            ('score', score, score in SCORES, f'one of {SCORES}'),
            ('max_per_img', max_per_img, max_per_img >= 1, 'at least 1'),
            ('byte_budget', byte_budget, byte_budget >= 1, 'at least 1'),
        ):
            if not good:
                raise ValueError(f'MaskTTAModel (tta_model): {name} is {value!r}, expected {range_}')
        self.nms = MaskNMS() if nms is None else TASK_UTILS.build(nms)
        self.iou_thr, self.weight, self.score = iou_thr, weight, score
        self.max_per_img, self.byte_budget = max_per_img, byte_budget

    @torch.no_grad()
    @stage('post')
    def test_step(self, data: dict[str, Sequence]) -> list[DetDataSample]:
        """Predict a batch.

        Args:
            data: `inputs` and `data_samples`, V lists each, with one entry per image, as `TestTimeAug` makes them.

        Returns:
            per image the first view's sample with the merged `pred_instances`: `bboxes` (M, 4) float32, `scores` (M,)
            float32 in descending order, `labels` (M,) int64, and `masks`, (M, H, W) bool or M RLE dicts.

        Raises:
            ValueError: a view does not say whether it is flipped, or the detector predicts no masks.
        """
        views = []
        for i in range(len(data['inputs'])):
            samples = self.module.test_step({key: value[i] for key, value in data.items()})
            found = samples[0].pred_instances
            device, as_rle = found.scores.device, isinstance(found.get('masks'), list)
            views.append([self._upright(sample) for sample in samples])
        merged = self.merge_preds(list(zip(*views, strict=True)))
        for sample in merged:
            found = sample.pred_instances
            if not as_rle:
                found.masks = rle_to_masks(found.masks, *sample.ori_shape[:2])
            sample.pred_instances = found.to(device)
        return merged

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """Merge the views of each image.

        Args:
            data_samples_list: V samples per image, flipped back and on the CPU, with masks as RLE.

        Returns:
            per image the first sample, with the merged instances.
        """
        for samples in data_samples_list:
            samples[0].pred_instances = self._merge(
                [sample.pred_instances for sample in samples], samples[0].ori_shape[:2]
            )
        return [samples[0] for samples in data_samples_list]

    def _upright(self, sample: DetDataSample) -> DetDataSample:
        """A view's prediction, flipped back and on the CPU, with masks as RLE."""
        if 'flip' not in sample:
            raise ValueError(
                'MaskTTAModel: a view does not say whether it is flipped; the tta_pipeline needs RandomFlip, and its '
                "PackDetInputs the meta_keys 'flip' and 'flip_direction'"
            )
        found, size = sample.pred_instances, tuple(sample.ori_shape[:2])
        if 'masks' not in found:
            raise ValueError(
                f'MaskTTAModel: {type(self.module).__name__} finds boxes without masks; DetTTAModel is for those'
            )
        masks, boxes = found.masks, found.bboxes
        axes: tuple[int, ...] = ()
        if sample.flip:
            boxes, axes = bbox_flip(boxes, size, sample.flip_direction), FLIPPED[sample.flip_direction]
        if axes or isinstance(masks, Tensor):
            chunk = chunk_size(4 * size[0] * size[1], self.byte_budget)  # decoded, flipped, and as much to encode it
            parts = [masks[start : start + chunk] for start in range(0, len(masks), chunk)]
            masks = [rle for part in parts for rle in _flipped(part, axes, size)]
        sample.pred_instances = InstanceData(
            bboxes=boxes.float(), scores=found.scores.float(), labels=found.labels, masks=masks
        ).cpu()
        return sample

    def _merge(self, views: Sequence[InstanceData], size: tuple[int, int]) -> InstanceData:
        """The merged instances of an image's views; masks are RLE."""
        joined = InstanceData.cat(views)
        view = torch.cat([torch.full_like(found.labels, i) for i, found in enumerate(views)])
        iou = _mask_iou(joined.masks)  # (N, N)
        agree = (iou >= self.iou_thr) & (joined.labels[:, None] == joined.labels)
        agree.fill_diagonal_(True)  # an empty mask has IoU 0 with itself
        ranks = joined.scores
        if self.score == 'mean':
            best = ranks.new_zeros(len(ranks), len(views))  # (N, V)
            ranks = best.scatter_reduce(1, view.expand_as(agree), agree * ranks, 'amax').mean(1)
        # All that agree on an instance have the same mean: the best of them comes first.
        order = joined.scores.sort(descending=True, stable=True).indices
        order = order[ranks[order].sort(descending=True, stable=True).indices]
        joined, iou, agree = joined[order], iou[order][:, order], agree[order][:, order]

        final = self.nms(iou, ranks[order], joined.labels)
        kept = final.nonzero().squeeze(1)
        kept = kept[final[kept].sort(descending=True, stable=True).indices[: self.max_per_img]]
        around = _boxes_around(joined.masks)
        # One by one, on the CPU, and only in the rectangle around the voters.
        masks = [self._voted(joined, iou, agree[i].nonzero().squeeze(1), i, around, size) for i in kept.tolist()]
        boxes, before, after = joined.bboxes[kept], around[kept], _boxes_around(masks)
        free = (boxes == before).all(1) | (boxes[:, 2:] <= boxes[:, :2]).any(1)  # mmdet's SOLO has boxes of zeros
        return InstanceData(
            bboxes=torch.where(free[:, None], after, boxes),
            scores=final[kept],
            labels=joined.labels[kept],
            masks=masks,
        )

    def _voted(
        self, joined: InstanceData, iou: Tensor, voters: Tensor, kept: int, around: Tensor, size: tuple[int, int]
    ) -> dict:
        """The kept mask, as RLE, after voting by some of the N masks; only these are decoded."""
        if len(voters) == 1:
            return joined.masks[kept]
        x1, y1 = around[voters, :2].amin(0).int().tolist()
        x2, y2 = around[voters, 2:].amax(0).int().tolist()
        masks = [decode_mask(joined.masks[i])[y1:y2, x1:x2] for i in voters.tolist()]
        probs = mask_voting(
            torch.from_numpy(np.stack(masks)).float(),
            iou[voters][:, voters],
            joined.scores[voters],
            joined.labels[voters],
            (voters == kept).nonzero()[0],
            weight=self.weight,
            iou_thr=self.iou_thr,
        )
        whole = torch.zeros(1, *size, dtype=torch.bool)
        whole[0, y1:y2, x1:x2] = probs[0] > 0.5
        return masks_to_rle(whole)[0]


def _flipped(masks: Tensor | list[dict], axes: tuple[int, ...], size: tuple[int, int]) -> list[dict]:
    """RLE of masks, (n, H, W) or RLE themselves, flipped along some axes of (H, W)."""
    masks = masks if isinstance(masks, Tensor) else rle_to_masks(masks, *size)
    return masks_to_rle(masks.flip([axis + 1 for axis in axes]))


def _mask_iou(masks: Sequence[dict]) -> Tensor:
    """(N, N) float32 IoU of RLE masks; 0 of an empty mask."""
    outlines = np.array(masks, dtype=object)
    crowd = np.zeros(len(masks), dtype=bool)
    return torch.from_numpy(pairwise_iou(outlines, outlines, crowd)).float() if len(masks) else torch.zeros(0, 0)


def _boxes_around(masks: Sequence[dict]) -> Tensor:
    """(N, 4) float32 x1, y1, x2, y2 around RLE masks; zeros for an empty one."""
    corners, sides = torch.from_numpy(rle_boxes(masks)).float().split(2, dim=1)
    return torch.cat([corners, corners + sides], 1)
