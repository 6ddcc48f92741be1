"""Lengths of run-length codes against pycocotools."""

import numpy as np
import pycocotools.mask as coco_mask
import pytest

from mmagg.ops.rle_lengths import rle_lengths


def test_lengths_are_those_of_the_images() -> None:
    rng = np.random.default_rng(0)
    codes, sizes = [], []
    for _ in range(300):
        height, width = rng.integers(1, 400, 2)
        coarse = rng.random((rng.integers(1, 20), rng.integers(1, 20))) < rng.random()
        mask = np.kron(coarse, np.ones((-(-height // len(coarse)), -(-width // coarse.shape[1]))))[:height, :width]
        codes.append(coco_mask.encode(np.asfortranarray(mask, np.uint8))['counts'])
        sizes.append(height * width)
    assert rle_lengths(codes).tolist() == sizes
    assert rle_lengths([code.decode() for code in codes]).tolist() == sizes
    assert rle_lengths([]).tolist() == []


@pytest.mark.parametrize('runs', [[5], [0, 7], [3, 2, 9], [3, 2, 9, 4], [100000, 1, 7, 70000, 2, 2, 2, 900]])
def test_short_and_long_codes(runs: list[int]) -> None:
    code = coco_mask.frPyObjects({'size': [10, 10], 'counts': runs}, 10, 10)['counts']
    assert rle_lengths([code, b'0', code]).tolist() == [sum(runs), 0, sum(runs)]


def test_a_code_that_ends_within_a_number() -> None:
    code = coco_mask.frPyObjects({'size': [10, 10], 'counts': [4000, 5]}, 10, 10)['counts']
    assert rle_lengths([code[:1], code]).tolist() == [-1, 4005]
