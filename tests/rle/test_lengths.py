"""Lengths of run-length codes against pycocotools."""

import numpy as np
import pycocotools.mask as coco_mask
import pytest

from mmagg.rle.lengths import rle_lengths


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


@pytest.mark.parametrize(
    'code, length',
    [
        ('', 0),
        ([], 0),
        ([3, 4, 5], 12),
        ([3.0, 4.0], 7),
        ([3.5, 4], -1),
        ([700, -100], -1),
        ([3, 'x'], -1),
        ([2**63], 2**62),
        ('~', -1),
        ('\N{SNOWMAN}', -1),
        ('\ud800', -1),
        (b'1/', -1),
    ],
)
def test_what_is_no_code_has_no_length(code: object, length: int) -> None:
    sound = coco_mask.frPyObjects({'size': [10, 10], 'counts': [3, 2, 9, 4]}, 10, 10)['counts']
    assert rle_lengths([sound, code, sound]).tolist() == [18, length, 18]


def test_runs_of_less_than_nothing() -> None:
    """The sixth run is the fourth, 6 pixels, and -7, however long the others are."""
    numbers = [3, 2, 9, 4, 0, -7, 12]
    code = ''.join(chr(48 + (number & 31)) for number in numbers)
    assert rle_lengths([code]).tolist() == [-1]
    assert rle_lengths([code.replace(chr(48 + (-7 & 31)), chr(48 + 7))]).item() > 0


def test_many_codes() -> None:
    codes = [coco_mask.frPyObjects({'size': [10, 10], 'counts': [i, 5, 3]}, 10, 10)['counts'] for i in range(1500)]
    assert rle_lengths(codes).tolist() == [i + 8 for i in range(1500)]
