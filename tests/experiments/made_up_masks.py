"""Small masks for the tests of codecs."""

import numpy as np

from mmagg.experiments.object_masks import ObjectMasks


def objects(masks: np.ndarray, *, areas: np.ndarray | None = None, labels: np.ndarray | None = None) -> ObjectMasks:
    """(N, m, m) -> the same as objects of two classes, small ones by default."""
    bits = np.packbits(masks.reshape(len(masks), -1), axis=1)
    zeros = np.zeros(len(masks), int)
    areas, labels = zeros + 5.0 if areas is None else areas, zeros if labels is None else labels
    return ObjectMasks(bits, areas, labels, ('a', 'b'), masks.shape[1])


def blobs(number: int, size: int = 8, seed: int = 0) -> np.ndarray:
    """Random half planes and discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size : size * 1j, : size : size * 1j]
    angle, offset, radius = rng.uniform(0, 2 * np.pi, number), rng.uniform(2, 6, number), rng.uniform(2, 5, number)
    plane = np.cos(angle)[:, None, None] * (x - 4) + np.sin(angle)[:, None, None] * (y - 4) < offset[:, None, None] - 3
    disc = np.hypot(x - offset[:, None, None], y - offset[::-1, None, None]) < radius[:, None, None]
    return np.where(rng.random(number)[:, None, None] < 0.5, plane, disc).astype(np.uint8)
