"""Mask voting with every weight and threshold in one pass over the images (AggMask, Sec. 3.2, Table 1).

Shape shorthand: N candidates of an image, M instances.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.models.postprocess import CandidateMasks, MaskPostProcessor, MaskVoting
from mmagg.ops.mask_voting import WEIGHTS


class Variant(NamedTuple):
    """A cell of the grid: the weight of voters, and the least IoU of a voter with the mask."""

    weight: str | None
    iou_thr: float | None


BASELINE = Variant(None, None)
"""No voting."""


class Refined(NamedTuple):
    """An image's instances with their masks by each variant; scores and labels are the same in all."""

    scores: np.ndarray
    """(M,)"""
    labels: np.ndarray
    """(M,)"""
    size: tuple[int, int]
    """(height, width) of the masks."""
    counts: dict[Variant, list[str]]
    """Compressed RLE of the M masks."""


class VotingSearch:
    """Takes the place of a head's `MaskPostProcessor` and ends each image once per variant.

    Candidates are decoded, compared and suppressed once per image; voting, resizing and encoding are repeated. Masks
    are kept as RLE; one that several variants share is kept once.

    Args:
        post_process: the head's own, with `mask_format='rle'`; its voting is not used.
        thresholds: IoU thresholds in [0, 1] to try with each weight.

    Attributes:
        variants: the baseline, then every weight with every threshold.
        images: the instances found so far, one entry an image.
    """

    def __init__(self, post_process: MaskPostProcessor, thresholds: Sequence[float]) -> None:
        self.post_process = post_process
        # The head reads them.
        self.score_thr, self.points_nms = post_process.score_thr, post_process.points_nms
        self.votings = {BASELINE: None} | {
            Variant(weight, iou_thr): MaskVoting(weight=weight, iou_thr=iou_thr)
            for weight in WEIGHTS
            for iou_thr in thresholds
        }
        self.variants = tuple(self.votings)
        self.images: list[Refined] = []

    def __call__(
        self,
        masks: CandidateMasks,
        *,
        upsampled_size: tuple[int, int],
        img_shape: tuple[int, int],
        out_size: tuple[int, int],
        **candidates: Tensor,
    ) -> InstanceData:
        """Post-process an image; arguments and result are those of `MaskPostProcessor` without voting."""
        suppressed = self.post_process.suppress(masks, **candidates)
        results = {
            variant: self.post_process.finish(
                suppressed, voting, upsampled_size=upsampled_size, img_shape=img_shape, out_size=out_size
            )
            for variant, voting in self.votings.items()
        }
        baseline = results[BASELINE]
        held: dict[str, str] = {}
        counts = {
            variant: [held.setdefault(rle['counts'], rle['counts']) for rle in result.masks]
            for variant, result in results.items()
        }
        self.images.append(Refined(baseline.scores.cpu().numpy(), baseline.labels.cpu().numpy(), out_size, counts))
        return baseline

    def records(self, variant: Variant, image_ids: Sequence[int], category_ids: Sequence[int]) -> Iterator[dict]:
        """COCO result records of a variant.

        Args:
            variant: one of `variants`.
            image_ids: one for each of `images`.
            category_ids: category id by class index.
        """
        for image_id, image in zip(image_ids, self.images, strict=True):
            for score, label, counts in zip(
                image.scores.tolist(), image.labels.tolist(), image.counts[variant], strict=True
            ):
                yield {
                    'image_id': image_id,
                    'category_id': category_ids[label],
                    'score': score,
                    'segmentation': {'size': list(image.size), 'counts': counts},
                }
