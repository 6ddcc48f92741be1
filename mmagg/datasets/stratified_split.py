"""Images for training and for validation, so that both have their share of the objects of every class.

Shape shorthand: I images, C classes.
"""

import numpy as np


def stratified_split(counts: np.ndarray, *, share: float, seed: int) -> np.ndarray:
    """Which images are for validation.

    Iterative stratification (Sechidis et al., On the Stratification of Multi-Label Data, 2011) for two parts: the class
    that has the fewest undecided images comes first, and each of them goes to the part that lacks more objects of it,
    or else more images. Images without objects are a class of their own. Then single images change sides as long as
    that leaves fewer classes in one part alone, or else brings the parts nearer to their sizes.

    So a class of at least two images stands in both parts, even where validation gets more images than its share for
    it: sizes are off only where a class would be in one part alone. Some are where not all can be in both, as three
    classes of which each has two of the same three images. A class of one image is in training, where sizes allow it.

    Args:
        counts: (I, C), the objects of each class in each image; I is at least 2.
        share: of the images and of each class, for validation; between 0 and 1.
        seed: of the order of the images; the same arguments give the same split.

    Returns:
        (I,) bool, neither all nor none.
    """
    counts = np.column_stack([counts, counts.sum(axis=1) == 0]).astype(float)
    has = counts > 0
    size = min(max(round(share * len(counts)), 1), len(counts) - 1)
    validation = _by_rarest_class(counts, has, share, size, np.random.default_rng(seed))
    wanted = share * counts.sum(axis=0)
    while (image := _better_there(counts, has, validation, wanted, size)) is not None:
        validation[image] = ~validation[image]
    return validation


def _by_rarest_class(
    counts: np.ndarray, has: np.ndarray, share: float, size: int, rng: np.random.Generator
) -> np.ndarray:
    """(I,) bool, the split before single images change sides."""
    shares = np.array([[1 - share], [share]])
    lacking = shares * counts.sum(axis=0)  # (2, C) objects, of training and of validation
    room = np.array([len(counts) - size, size], float)
    validation, undecided = np.zeros(len(counts), bool), np.ones(len(counts), bool)
    order = rng.permutation(len(counts))
    left = has.sum(axis=0)  # (C,) undecided images
    single = (has & (left == 1)).any(axis=1)  # (I,)
    while left.any():
        rarest = np.where(left > 0, left, len(counts) + 1).argmin()
        for image in order[undecided[order] & has[order, rarest]]:
            more = (lacking[1, rarest], room[1]) > (lacking[0, rarest], room[0])
            part = int(more and not (single[image] and room[0] > 0))
            validation[image] = part
            lacking[part] -= counts[image]
            room[part] -= 1
            undecided[image] = False
            left = left - has[image]
    return validation


def _better_there(
    counts: np.ndarray, has: np.ndarray, validation: np.ndarray, wanted: np.ndarray, size: int
) -> int | None:
    """The image that is best on the other side; None where all are best where they are.

    Args:
        counts: (I, C), with the class of the images without objects.
        has: (I, C) bool.
        validation: (I,) bool.
        wanted: (C,) objects of each class for validation.
        size: images for validation.
    """
    images = np.stack([has[~validation].sum(axis=0), has[validation].sum(axis=0)])  # (2, C)
    side = np.where(validation, -1, 1)  # (I,) what validation gets if an image changes sides
    several = images.sum(axis=0) > 1
    here, there = images[validation.astype(int)], images[1 - validation.astype(int)]  # (I, C), seen from each image
    lost = (has & several & (here == 1)).sum(axis=1)
    won = (has & several & (there == 0)).sum(axis=1)
    off = validation.sum() - size
    farther = abs(off + side) - abs(off)
    single = side * (has & ~several).sum(axis=1)
    objects = counts[validation].sum(axis=0) + side[:, None] * counts
    uneven = ((objects - wanted) ** 2 / counts.sum(axis=0).clip(min=1)).sum(axis=1)
    best = np.lexsort([uneven, single, farther, lost - won])[0]
    return int(best) if (lost[best] - won[best], farther[best]) < (0, 0) else None
