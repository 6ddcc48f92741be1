"""Both parts have every class that they can have, and about their share."""

import itertools

import numpy as np
import pytest

from mmagg.datasets.stratified_split import stratified_split


def in_one_part(counts: np.ndarray, validation: np.ndarray) -> int:
    """Classes of at least two images that only one part has."""
    images, there = (counts > 0).sum(axis=0), (counts[validation] > 0).sum(axis=0)
    return int(((images > 1) & ((there == 0) | (there == images))).sum())


def with_background(counts: np.ndarray) -> np.ndarray:
    return np.column_stack([counts, counts.sum(axis=1) == 0])


@pytest.mark.parametrize('case', range(60))
def test_random_counts(case):
    rng = np.random.default_rng(case)
    images, classes, share = rng.integers(2, 11), rng.integers(1, 6), rng.uniform(0.05, 0.5)
    counts = rng.integers(1, 5, (images, classes)) * (rng.random((images, classes)) < rng.uniform(0.1, 0.9))
    split = stratified_split(counts, share=share, seed=case)
    assert split.shape == (images,)
    assert split.dtype == bool
    assert 0 < split.sum() < images
    assert (split == stratified_split(counts, share=share, seed=case)).all()

    counts = with_background(counts)
    every = [np.array(one) for one in itertools.product([False, True], repeat=images) if len(set(one)) == 2]
    least = min(in_one_part(counts, one) for one in every)
    assert in_one_part(counts, split) == least
    size = min(max(round(share * images), 1), images - 1)
    if split.sum() != size:  # one image less on the side that has too many would take a class away
        for image in np.flatnonzero(split == (split.sum() > size)):
            moved = split.copy()
            moved[image] = ~moved[image]
            assert in_one_part(counts, moved) > least


def test_shares_of_many_images_are_near():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.uniform(0.02, 1.5, 12), (400, 12))
    split = stratified_split(counts, share=0.2, seed=0)
    assert split.sum() == 80
    shares = counts[split].sum(axis=0) / counts.sum(axis=0)
    assert shares == pytest.approx(0.2, abs=0.06)
    drawn = np.array([counts[rng.permutation(400)[:80]].sum(axis=0) / counts.sum(axis=0) for _ in range(50)])
    assert abs(shares - 0.2).mean() < 0.5 * abs(drawn - 0.2).mean()


def test_other_seeds_split_otherwise():
    counts = np.ones((40, 1), int)
    splits = {stratified_split(counts, share=0.5, seed=seed).tobytes() for seed in range(5)}
    assert len(splits) == 5


def test_a_class_of_two_images_is_worth_more_than_the_size():
    counts = np.repeat(np.eye(5, dtype=int), 2, axis=0)
    split = stratified_split(counts, share=0.2, seed=0)
    assert split.reshape(5, 2).sum(axis=1).tolist() == [1] * 5


def test_backgrounds_are_split_too():
    counts = np.zeros((20, 2), int)
    counts[:10, 0] = 1
    split = stratified_split(counts, share=0.2, seed=3)
    assert [split[:10].sum(), split[10:].sum()] == [2, 2]


def test_a_class_of_one_image_is_for_training():
    rng = np.random.default_rng(0)
    counts = np.zeros((60, 11), int)
    counts[:, 0] = rng.integers(0, 3, 60)
    counts[rng.permutation(60)[:10], np.arange(1, 11)] = 1
    for seed in range(10):
        split = stratified_split(counts, share=0.3, seed=seed)
        assert split.sum() == 18
        assert not counts[split, 1:].any()
