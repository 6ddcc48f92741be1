"""Masks in every form that they have: encoded, decoded in part, and measured alike."""

import json

import cv2
import numpy as np
import pytest
import torch

from mmagg.ops import rle_to_masks
from mmagg.rle import codes
from mmagg.rle.codes import (
    decode_mask,
    decode_window,
    instance_boxes,
    mask_box,
    masks_to_rle,
    outline_to_rle,
    rle_area,
)

coco_mask = pytest.importorskip('pycocotools.mask')


def some_masks() -> torch.Tensor:
    masks = torch.rand(6, 9, 14) > 0.6
    masks[1] = False
    masks[2] = True
    return masks


def run_lengths(mask: np.ndarray) -> list[int]:
    """Of 0, 1, 0 ... column by column."""
    flat = np.concatenate([[0], mask.ravel(order='F')])
    return np.diff(np.flatnonzero(np.diff(flat)), prepend=0, append=mask.size).tolist()


def test_every_form_of_masks_is_encoded_and_decoded_alike() -> None:
    masks = some_masks()
    rles, arrays = masks_to_rle(masks), masks.numpy()
    lists = [{'size': [9, 14], 'counts': run_lengths(mask)} for mask in arrays]
    packed = coco_mask.encode(np.asfortranarray(arrays.transpose(1, 2, 0).astype(np.uint8)))
    arrays.flags.writeable = False
    for form in (arrays, arrays.astype(np.uint8), arrays[::-1][::-1], masks.float(), list(arrays), rles, lists, packed):
        assert masks_to_rle(form) == rles
        for found, mask in zip(form, arrays, strict=True):
            np.testing.assert_array_equal(decode_mask(found), mask)
    for form in (rles, lists, packed):
        assert torch.equal(rle_to_masks(form, 9, 14), masks)
        assert [rle_area(outline_to_rle(rle, 9, 14)) for rle in form] == masks.flatten(1).sum(1).tolist()
    assert masks_to_rle([]) == []
    json.dumps(masks_to_rle(np.zeros((2, 5, 4), bool)))


@pytest.mark.parametrize('size', [(1, 1), (9, 14), (70, 90)])
def test_windows_are_parts_of_masks_in_every_form(size: tuple[int, int], monkeypatch) -> None:
    """Those of long codes are decoded as a whole, others run by run."""
    monkeypatch.setattr(codes, 'BLOCK', 60)  # of less than a column, of some, and of all
    rng = np.random.default_rng(0)
    for share in (0, 0.001, 0.02, 0.5, 1):
        mask = rng.random(size) < share
        rle = masks_to_rle(mask[None])[0]
        forms = (mask, mask.astype(np.uint8), torch.from_numpy(mask), rle, {**rle, 'counts': rle['counts'].encode()})
        forms += ({**rle, 'counts': run_lengths(mask)},)
        want = cv2.boundingRect(mask.astype(np.uint8))
        for _ in range(5):
            (y1, y2), (x1, x2) = (sorted(rng.integers(0, side + 1, 2).tolist()) for side in size)
            for window in ((x1, y1, x2 - x1, y2 - y1), (0, 0, size[1], size[0])):
                x, y, w, h = window
                if not w or not h:
                    continue
                for form in forms:
                    assert mask_box(form) == want
                    part = decode_window(form, window)
                    assert part.dtype == np.uint8
                    assert part.flags.c_contiguous
                    np.testing.assert_array_equal(part, mask[y : y + h, x : x + w])


def test_polygons_are_drawn_in_the_frame() -> None:
    rle = outline_to_rle([[2.0, 1, 8, 1, 8, 5, 2, 5], [10, 0, 12, 0, 12, 3, 10, 3]], 9, 14)
    want = torch.zeros(9, 14, dtype=torch.bool)
    want[1:5, 2:8] = want[:3, 10:12] = True
    assert torch.equal(rle_to_masks([rle], 9, 14)[0], want)


def test_boxes_of_zeros_are_replaced_by_those_of_the_masks() -> None:
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 20:30, 10:30] = True
    for form in (masks, masks.numpy(), masks_to_rle(masks)):
        boxes = instance_boxes(np.array([[0.0, 0, 0, 0], [1, 2, 3, 4]]), form, count=2)
        assert boxes.tolist() == [[10, 20, 30, 30], [1, 2, 3, 4]]
    assert instance_boxes(torch.zeros(0, 4), [], count=0).shape == (0, 4)
