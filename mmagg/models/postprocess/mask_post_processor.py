"""The post-processor of `GridMaskHead`, from candidates with lazy masks to instances.

Shape shorthand: N candidates, n of them in a chunk, M instances left, (h, w) map size, (H, W) original image.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.ops import (
    MaskWindows,
    PackedWindows,
    all_windows_to_rle,
    areas_and_sums,
    budget_on,
    chunk_size,
    full_size_masks,
    full_size_windows,
    mask_iou,
    upload,
)

MASK_FORMATS = ('bitmap', 'rle')


class CandidateMasks(ABC):
    """The masks of an image's candidates, decoded only when they are asked for.

    Attributes:
        size: (h, w) of the masks.
    """

    size: tuple[int, int]

    @abstractmethod
    def probs(self, index: Tensor) -> Tensor:
        """(n,) long indices of candidates, on the CPU -> (n, h, w) mask probabilities of these."""


class Suppressed(NamedTuple):
    """The candidates of an image after NMS, with all that mask voting needs."""

    probs: Tensor
    """(n, h, w) mask probabilities of the candidates that entered NMS."""
    iou: Tensor
    """(n, n) IoU of their binary masks."""
    scores: Tensor
    """(n,) their scores before NMS, in descending order."""
    labels: Tensor
    """(n,) their classes."""
    kept: Tensor
    """(M,) indices of the instances among them."""
    final_scores: Tensor
    """(M,) the instances' scores after NMS, in descending order."""
    indices: Tensor
    """(n,) their indices among all candidates."""


@TASK_UTILS.register_module()
class MaskPostProcessor:
    """Filtering, scoring, NMS, voting and resizing, in the order of SOLO (SOLO, Sec. 2.4) and of mmdet's `SOLOHead`.

    1. Decode the candidates, and drop those with at most `min_areas` pixels inside.
    2. Score = class score × maskness, the mean probability inside the mask; the best `nms_pre` go on.
    3. NMS on the masks' IoU; drop scores below `filter_thr`, and keep the best `max_per_img`.
    4. Mask voting, if any, by the candidates of step 2 with their scores before NMS.
    5. Upsample, crop the padding, resize to the original image, threshold; boxes from these masks.

    `suppress` is steps 1 to 3, `finish` is 4 and 5; a call is both.

    Masks are decoded and resized in chunks under `byte_budget`. At most `nms_pre` soft masks are held at once: of more
    candidates, step 1 only measures the masks, and step 2 decodes the best once more.

    Args:
        score_thr: threshold of a candidate's class score, in [0, 1); the head reads it when it collects candidates.
        points_nms: collect only cells whose score is the largest of the 2 x 2 cells up to it; the head reads it. The
            texts of SOLO and AggMask do not have this step, the releases and mmdet do. Without it neighbouring cells
            come to NMS, and to voting, as well.
        mask_thr: threshold of a pixel's probability, exclusive, in (0, 1).
        nms_pre: most candidates that enter NMS.
        filter_thr: smallest score after NMS, in [0, 1].
        max_per_img: most instances per image.
        nms: config of an NMS, `(iou, scores, labels) -> scores`; None for Matrix NMS with its defaults.
        voting: config of a voting, `(probs, iou, scores, labels, kept) -> probs`; None for none.
        mask_format: 'bitmap', one bool tensor, or 'rle', COCO's compressed RLE, one dict per mask.
        byte_budget: bytes of the tensors of a chunk of masks; a chunk has at least one. None: 64 MiB on the CPU, a part
            of a GPU's memory (`mmagg.ops.budget_on`).

    Raises:
        TypeError: an unknown key in the head's `test_cfg`.
        ValueError: a value outside these ranges.
    """

    def __init__(
        self,
        *,
        score_thr: float = 0.1,
        points_nms: bool = True,
        mask_thr: float = 0.5,
        nms_pre: int = 500,
        filter_thr: float = 0.05,
        max_per_img: int = 100,
        nms: dict | None = None,
        voting: dict | None = None,
        mask_format: str = 'bitmap',
        byte_budget: int | None = None,
    ) -> None:
        for name, value, good, range_ in (
            ('score_thr', score_thr, 0 <= score_thr < 1, 'a number in [0, 1)'),
            ('mask_thr', mask_thr, 0 < mask_thr < 1, 'a number in (0, 1)'),
            ('nms_pre', nms_pre, nms_pre >= 1, 'at least 1'),
            ('filter_thr', filter_thr, 0 <= filter_thr <= 1, 'a number in [0, 1]'),
            ('max_per_img', max_per_img, max_per_img >= 1, 'at least 1'),
            ('mask_format', mask_format, mask_format in MASK_FORMATS, f'one of {MASK_FORMATS}'),
            ('byte_budget', byte_budget, byte_budget is None or byte_budget >= 1, 'at least 1'),
        ):
            if not good:
                raise ValueError(f'MaskPostProcessor (test_cfg): {name} is {value!r}, expected {range_}')
        self.score_thr, self.points_nms = score_thr, points_nms
        self.mask_thr, self.nms_pre = mask_thr, nms_pre
        self.filter_thr, self.max_per_img = filter_thr, max_per_img
        self.mask_format, self.byte_budget = mask_format, byte_budget
        self.nms = TASK_UTILS.build({'type': 'MatrixNMS'} if nms is None else nms)
        self.voting = None if voting is None else TASK_UTILS.build(voting)

    @torch.no_grad()
    def __call__(
        self,
        masks: CandidateMasks,
        *,
        scores: Tensor,
        labels: Tensor,
        min_areas: Tensor,
        upsampled_size: tuple[int, int],
        img_shape: tuple[int, int],
        out_size: tuple[int, int],
    ) -> InstanceData:
        """Instances of one image.

        Args:
            masks: masks of N candidates.
            scores: (N,) class scores.
            labels: (N,) classes.
            min_areas: (N,) pixels at map size, which a mask must exceed (SOLO: the stride of its level).
            upsampled_size: (height, width) of the padded network input.
            img_shape: (height, width) of the resized image in it, without the padding.
            out_size: (H, W) of the original image, the masks' final size.

        Returns:
            `scores` (M,) float32 in descending order, `labels` (M,) int64, `masks` (M, H, W) bool or M RLE dicts,
            `bboxes` (M, 4) float32, x1 y1 x2 y2 around the masks (zeros for a mask without a pixel at the final size),
            and `index` (M,) int64, their indices among the candidates.
        """
        return self.finish(
            self.suppress(masks, scores=scores, labels=labels, min_areas=min_areas),
            self.voting,
            upsampled_size=upsampled_size,
            img_shape=img_shape,
            out_size=out_size,
        )

    @torch.no_grad()
    def suppress(self, masks: CandidateMasks, *, scores: Tensor, labels: Tensor, min_areas: Tensor) -> Suppressed:
        """Filter, score and suppress the candidates of one image; arguments as of a call."""
        area, inside, probs = self._measure(masks, len(scores), scores.device)
        index = (area > min_areas).nonzero().squeeze(1)
        # The same values sorted by the same call as in mmdet: ties come out in the same order.
        scores, order = torch.sort((scores.float() * (inside / area))[index], descending=True)
        scores, index = scores[: self.nms_pre], index[order[: self.nms_pre]]
        labels = labels[index].long()
        probs = self._decode(masks, index) if probs is None else probs[index]

        iou = mask_iou(probs > self.mask_thr, byte_budget=budget_on(probs.device, self.byte_budget))
        decayed = self.nms(iou, scores, labels)
        kept = (decayed >= self.filter_thr if self.filter_thr > 0 else decayed > 0).nonzero().squeeze(1)
        final_scores, order = torch.sort(decayed[kept], descending=True)
        kept = kept[order[: self.max_per_img]]
        return Suppressed(probs, iou, scores, labels, kept, final_scores[: self.max_per_img], index)

    @torch.no_grad()
    def finish(
        self,
        suppressed: Suppressed,
        voting: Callable[..., Tensor] | None,
        *,
        upsampled_size: tuple[int, int],
        img_shape: tuple[int, int],
        out_size: tuple[int, int],
    ) -> InstanceData:
        """Instances of one image after NMS, by any voting; sizes and result as of a call.

        Args:
            suppressed: from `suppress`; may be finished several times.
            voting: `(probs, iou, scores, labels, kept) -> probs`; None for none.
            upsampled_size: see there.
            img_shape: see there.
            out_size: see there.
        """
        probs, iou, scores, labels, kept, final_scores, index = suppressed
        probs = probs[kept] if voting is None else voting(probs, iou, scores, labels, kept)
        sizes = dict(upsampled_size=upsampled_size, crop=img_shape, out_size=out_size)
        options: dict[str, Any] = sizes | dict(
            mask_thr=self.mask_thr, byte_budget=budget_on(probs.device, self.byte_budget)
        )
        masks: Tensor | list[dict]
        if self.mask_format == 'bitmap':
            masks, boxes = full_size_masks(probs, **options)
        else:
            parts: list[tuple[Tensor, Tensor]] = []

            def chunks() -> Iterable[MaskWindows | PackedWindows]:
                for windows, around in full_size_windows(probs, **options):
                    parts.append((windows.indices, around))
                    yield windows

            masks = all_windows_to_rle(chunks(), out_size)
            boxes = in_order(parts) if parts else torch.zeros(0, 4, device=probs.device)
        return InstanceData(scores=final_scores, labels=labels[kept], masks=masks, bboxes=boxes, index=index[kept])

    def _measure(self, masks: CandidateMasks, num: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
        """Areas (N,), sums of the probabilities inside (N,); soft masks (N, h, w) if there are at most `nms_pre`."""
        budget = budget_on(device, self.byte_budget)
        parts, probs = [], None
        for index in self._chunks(torch.arange(num), masks.size, budget):
            soft = masks.probs(index).float()
            parts.append(areas_and_sums(soft, mask_thr=self.mask_thr, byte_budget=budget))
            if len(index) == num <= self.nms_pre:
                return *parts[0], soft
            if num <= self.nms_pre:
                probs = torch.empty(num, *masks.size, device=device) if probs is None else probs
                probs[int(index[0]) : int(index[-1]) + 1] = soft
        if num == 0:
            return *torch.zeros(2, 0, device=device), torch.zeros(0, *masks.size, device=device)
        area, inside = (torch.cat(own) for own in zip(*parts, strict=True))
        return area, inside, probs

    def _decode(self, masks: CandidateMasks, index: Tensor) -> Tensor:
        """(n,) candidates -> (n, h, w) soft masks."""
        probs = torch.empty(len(index), *masks.size, device=index.device)
        start = 0
        for part in self._chunks(index.cpu(), masks.size, budget_on(index.device, self.byte_budget)):
            probs[start : start + len(part)] = masks.probs(part)
            start += len(part)
        return probs

    @staticmethod
    def _chunks(index: Tensor, size: tuple[int, int], byte_budget: int) -> Iterable[Tensor]:
        """Split candidates into chunks that are decoded at once; without candidates there is none."""
        # Per pixel: logit, probability, probability inside the mask, binary mask.
        chunk = chunk_size((3 * 4 + 1) * size[0] * size[1], byte_budget)
        return index.split(chunk) if len(index) else ()


def in_order(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Rows of chunks (n, ...), each with its indices (n,) on the CPU, in the order of these: 0 to N - 1."""
    order = torch.cat([index for index, _ in parts]).argsort()
    rows = parts[0][1] if len(parts) == 1 else torch.cat([own for _, own in parts])
    return rows if (order.diff() > 0).all() else rows[upload(order, rows.device)]
