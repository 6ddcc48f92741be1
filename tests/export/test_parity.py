"""What is said of two lists of results: the instances are drawn, so that each number is known."""

import re

import numpy as np
import pytest

from mmagg.export.parity import Parity, parity
from mmagg.rle.codes import masks_to_rle
from mmagg.runtime.found import Found

SIZE = 60, 80


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def found(*instances: tuple[np.ndarray, float, int]) -> Found:
    masks = [mask for mask, _, _ in instances]
    return Found(
        SIZE,
        np.zeros((len(masks), 4), np.float32),
        np.array([score for _, score, _ in instances], np.float32),
        np.array([label for _, _, label in instances], np.int64),
        tuple(masks_to_rle(masks)),
    )


FIRST, SECOND = square(0, 0, 20), square(40, 30, 25)


def test_of_a_result_with_itself() -> None:
    one = found((FIRST, 0.9, 0), (SECOND, 0.8, 1))
    assert parity([one], [one]) == Parity(
        images=1, instances=(2, 2), unmatched=0, score=0.0, apart=0, iou=1.0, pixels=0, strays=0
    )
    assert parity([one], [one]).close


def test_the_line_is_that_of_the_page(root) -> None:
    """But for the numbers."""
    one = found((FIRST, 0.9, 0))
    said = re.sub(r'\d+', '0', str(parity([one], [found((FIRST, 0.90001, 0))])))
    assert said in re.sub(r'\d+', '0', (root / 'docs/export.md').read_text(encoding='utf-8'))


def test_the_order_does_not_matter_but_the_class_does() -> None:
    one = found((FIRST, 0.9, 0), (SECOND, 0.8, 1))
    other = found((SECOND, 0.80005, 1), (FIRST, 0.89998, 0))
    same = parity([one], [other])
    assert same.unmatched == 0
    assert same.score == pytest.approx(5e-5, abs=1e-6)
    assert same.close
    swapped = parity([one], [found((FIRST, 0.9, 1), (SECOND, 0.8, 0))])
    assert swapped.unmatched == 4
    assert not swapped.close


def test_a_score_beyond_rounding_is_not_close() -> None:
    apart = parity([found((FIRST, 0.9, 0))], [found((FIRST, 0.8998, 0))])
    assert apart.score == pytest.approx(2e-4, abs=1e-6)
    assert apart.apart == 1
    assert not apart.close


def test_a_leap_of_few_scores_is_that_of_a_pixel_at_the_threshold() -> None:
    same, leap, far = (found((FIRST, score, 0)) for score in (0.9, 0.895, 0.88))

    def close(*others: Found, of: int) -> bool:
        return parity([same] * of, [*others, *[same] * (of - len(others))]).close

    assert close(leap, of=100)
    assert not close(leap, of=99)
    assert not close(leap, leap, of=199)
    assert not close(far, of=100)


def test_pixels_are_counted_and_one_of_a_small_mask_is_rounding() -> None:
    less = FIRST.copy()
    less[0, 0] = False
    one = parity([found((FIRST, 0.9, 0))], [found((less, 0.9, 0))])
    assert one.iou == pytest.approx(399 / 400)
    assert one.pixels == 1
    assert one.close
    less[0, 1] = False
    two = parity([found((FIRST, 0.9, 0))], [found((less, 0.9, 0))])
    assert (two.pixels, two.strays) == (2, 1)
    assert not two.close


def test_each_instance_has_one_partner_the_one_that_overlaps_most() -> None:
    grown = square(0, 0, 22)
    one = found((FIRST, 0.9, 0), (grown, 0.8, 0))
    other = found((grown, 0.8, 0))
    result = parity([one], [other])
    assert (result.unmatched, result.iou, result.score) == (1, 1.0, 0.0)


def test_equal_masks_are_told_apart_by_their_scores() -> None:
    empty = np.zeros(SIZE, bool)
    one = found((empty, 0.9, 0), (empty, 0.3, 0))
    other = found((empty, 0.3, 0), (empty, 0.9, 0))
    assert parity([one], [other]).close


def test_images_are_compared_one_by_one() -> None:
    one, other = found((FIRST, 0.9, 0)), found((SECOND, 0.9, 0))
    result = parity([one, other], [other, one])
    assert (result.images, result.instances, result.unmatched) == (2, (2, 2), 4)


def test_of_images_without_instances() -> None:
    nothing = found()
    assert parity([nothing], [nothing]).close
    assert parity([nothing], [found((FIRST, 0.9, 0))]).unmatched == 1


def test_boxes_stand_for_masks_where_there_are_none() -> None:
    def boxed(x2: float) -> Found:
        boxes = np.array([[10, 10, x2, 30]], np.float32)
        return Found(SIZE, boxes, np.array([0.9], np.float32), np.zeros(1, np.int64), (None,))

    assert parity([boxed(30)], [boxed(30.001)]).close
    apart = parity([boxed(30)], [boxed(32)])
    assert apart.iou == pytest.approx(20 / 22)
    assert apart.strays == 1
    assert not apart.close
