"""How far the results of an exported model are from those of the model that it was made of.

Shape shorthand: n and m instances of one image, in both results.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmagg.rle.codes import rle_area
from mmagg.runtime.found import Found

SAME_OBJECT = 0.5  # IoU, from which on two instances are taken for one
SCORE, IOU = 1e-4, 0.999  # the most of |Δscore| and the least IoU that rounding leads to
# What a pixel of the map does that falls on the other side of the threshold: the mean probability of its mask, and its
# overlap with others, change by a pixel. It is seen in few scores, and not in the mask at full size.
LEAP, SHARE = 1e-2, 0.01  # of a score, and of the instances


@dataclass(frozen=True)
class Parity:
    """What differs between two lists of results of the same images.

    Attributes:
        images: number of them.
        instances: number of them, in the expected results and in the others.
        unmatched: instances of both without a partner.
        score: the greatest |Δscore| of partners.
        apart: partners with a |Δscore| above `SCORE`.
        iou: the least IoU of their masks; of their boxes, where there are no masks.
        pixels: in which those masks differ.
        strays: partners with an IoU below `IOU` that differ in more than one pixel.
    """

    images: int
    instances: tuple[int, int]
    unmatched: int
    score: float
    apart: int
    iou: float
    pixels: int
    strays: int

    @property
    def close(self) -> bool:
        """Whether the results are the same, to the rounding of float32.

        A pixel whose probability is the threshold to rounding may fall on either side of it: at full size, this is more
        of a mask of fewer than 1000 pixels than `IOU` allows; at map size, see `LEAP`.
        """
        steady = self.score <= LEAP and self.apart <= SHARE * min(self.instances)
        return self.unmatched == 0 and self.strays == 0 and steady

    def __str__(self) -> str:
        first, second = self.instances
        return (
            f'{first} and {second} instances in {self.images} images, {self.unmatched} unmatched, '
            f'|Δscore| ≤ {self.score:.1e} ({self.apart} above {SCORE:g}), IoU ≥ {self.iou:.4f} ({self.pixels} pixels)'
        )


def parity(expected: Sequence[Found], found: Sequence[Found]) -> Parity:
    """Compare results, image by image; instances are matched one to one by class and IoU.

    Args:
        expected: of the model that is taken for right.
        found: of the other one, for the same images.
    """
    unmatched, scores, agreement = 0, [0.0], [(1.0, 0)]
    strays = 0
    for one, other in zip(expected, found, strict=True):
        iou = overlaps(one, other)
        pairs = partners(iou, one, other)
        unmatched += len(one) + len(other) - 2 * len(pairs)
        for i, j in pairs:
            pixels = differing_pixels(one.rles[i], other.rles[j])
            scores.append(abs(float(one.scores[i]) - float(other.scores[j])))
            agreement.append((float(iou[i, j]), pixels))
            strays += bool(iou[i, j] < IOU and (pixels > 1 or one.rles[i] is None))
    least, differing = min(agreement)
    return Parity(
        images=len(expected),
        instances=(sum(map(len, expected)), sum(map(len, found))),
        unmatched=unmatched,
        score=max(scores),
        apart=sum(score > SCORE for score in scores),
        iou=least,
        pixels=differing,
        strays=strays,
    )


def overlaps(one: Found, other: Found) -> np.ndarray:
    """(n, m) IoU of masks, or of boxes where there are none; of two empty masks 1, of two classes 0."""
    from pycocotools import mask as coco_mask

    if not len(one) or not len(other):
        return np.zeros((len(one), len(other)))
    rles = [[rle for rle in x.rles if rle is not None] for x in (one, other)]
    masks = all(rles)
    sides = rles if masks else [corner_and_size(x.boxes) for x in (one, other)]
    iou = np.asarray(coco_mask.iou(*sides, [0] * len(other)))
    if masks:
        iou[np.ix_(*(np.array([rle_area(rle) == 0 for rle in side]) for side in rles))] = 1
    return iou * (one.labels[:, None] == other.labels)


def corner_and_size(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) x1, y1, x2, y2 -> (n, 4) x, y, width, height, in double precision."""
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def partners(iou: np.ndarray, one: Found, other: Found) -> list[tuple[int, int]]:
    """Pairs of instances, the greatest IoU first, and the closest scores where it is equal; each is in one at most."""
    rows, columns = np.nonzero(iou >= SAME_OBJECT)
    apart = np.abs(one.scores[rows] - other.scores[columns])
    pairs: list[tuple[int, int]] = []
    free = np.ones(len(one), bool), np.ones(len(other), bool)
    for place in np.lexsort([apart, -iou[rows, columns]]):
        i, j = int(rows[place]), int(columns[place])
        if free[0][i] and free[1][j]:
            free[0][i] = free[1][j] = False
            pairs.append((i, j))
    return pairs


def differing_pixels(one: dict | None, other: dict | None) -> int:
    """Pixels that are in one of two masks alone; 0 without masks."""
    from pycocotools import mask as coco_mask

    if one is None or other is None:
        return 0
    return rle_area(one) + rle_area(other) - 2 * rle_area(coco_mask.merge([one, other], intersect=True))
