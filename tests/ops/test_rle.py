"""RLE against pycocotools, mask by mask, and there and back."""

import json

import cv2
import numpy as np
import pytest
import torch

from mmagg.ops import MaskWindows, masks_to_rle, rle_to_masks, windows_to_rle, write_windows
from mmagg.ops import rle as rle_module
from mmagg.ops.rle import decode_mask, decode_window, instance_boxes, mask_box, outline_to_rle, rle_area

coco_mask = pytest.importorskip('pycocotools.mask')


def some_masks() -> torch.Tensor:
    masks = torch.rand(6, 9, 14) > 0.6
    masks[1] = False
    masks[2] = True
    return masks


def test_equals_pycocotools() -> None:
    masks = some_masks()
    for mask, rle in zip(masks.numpy(), masks_to_rle(masks), strict=True):
        want = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert rle == {'size': [9, 14], 'counts': want['counts'].decode()}


def test_there_and_back_through_json() -> None:
    masks = some_masks()
    rles = json.loads(json.dumps(masks_to_rle(masks)))
    back = rle_to_masks(rles, 9, 14)
    assert back.dtype == torch.bool
    assert back.is_contiguous()
    assert torch.equal(back, masks)


def test_views_are_encoded_as_they_look() -> None:
    masks = some_masks()
    view = masks.transpose(1, 2)[::2, 1:]
    assert torch.equal(rle_to_masks(masks_to_rle(view), 13, 9), view)


def test_bytes_are_understood() -> None:
    masks = some_masks()
    rles = [{**rle, 'counts': rle['counts'].encode()} for rle in masks_to_rle(masks)]
    assert torch.equal(rle_to_masks(rles, 9, 14), masks)


def test_none() -> None:
    assert masks_to_rle(torch.zeros(0, 3, 4, dtype=torch.bool)) == []
    back = rle_to_masks([], 3, 4)
    assert back.shape == (0, 3, 4)
    assert back.dtype == torch.bool


def test_wrong_size_is_named() -> None:
    with pytest.raises(ValueError, match=r'RLE 0 is of size \[9, 14\], not \[14, 9\]'):
        rle_to_masks(masks_to_rle(some_masks()), 14, 9)


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (9, 1), (13, 17), (40, 31)])
def test_any_mask_is_encoded_as_pycocotools_does(size: tuple[int, int]) -> None:
    dense = torch.rand(60, *size)
    masks = dense > torch.rand(60, 1, 1)  # from nearly empty to nearly full
    masks[0], masks[1] = False, True
    masks[2] = (torch.arange(size[1]) % 2 == 0)[None]  # whole columns
    masks[3] = (torch.arange(size[1]) >= size[1] // 2)[None]  # whole columns side by side, up to the end
    for given in (masks, masks.transpose(1, 2).contiguous().transpose(1, 2), masks[::2]):
        want = coco_mask.encode(np.asfortranarray(given.numpy().transpose(1, 2, 0).astype(np.uint8)))
        assert masks_to_rle(given) == [{'size': list(size), 'counts': rle['counts'].decode()} for rle in want]


@pytest.mark.parametrize('size', [(24, 31), (31, 24), (9, 200)])
def test_windows_of_any_place_and_height_are_encoded_as_the_masks_are(size: tuple[int, int]) -> None:
    """At the borders, as high as the image, of no row at all; more columns than fit into a word, and fewer."""
    height, width = size
    for w in (1, 5, 8, 11, min(size[1], 30)):
        heights = torch.cat([torch.randint(0, height + 1, (20,)), torch.tensor([0, height, height])])
        windows = MaskWindows(
            indices=torch.randperm(23),
            left=torch.cat([torch.randint(0, width - w + 1, (21,)), torch.tensor([0, width - w])]),
            top=((height + 1 - heights) * torch.rand(23)).long(),
            height=heights,
            rows=torch.rand(int(heights.sum()), w) > torch.rand(1),
        )
        masks = torch.zeros(23, *size, dtype=torch.bool)
        parts = zip(windows.indices, windows.left, windows.top, windows.rows.split(heights.tolist()), strict=True)
        for i, left, top, part in parts:
            masks[i, top : top + len(part), left : left + w] = part
        written = torch.zeros_like(masks)
        write_windows(written, windows)
        assert torch.equal(written, masks)
        want = coco_mask.encode(np.asfortranarray(masks[windows.indices].numpy().transpose(1, 2, 0).astype(np.uint8)))
        assert [rle['counts'].encode() for rle in windows_to_rle(windows, size)] == [rle['counts'] for rle in want]


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
    monkeypatch.setattr(rle_module, 'BLOCK', 60)  # of less than a column, of some, and of all
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


@pytest.mark.gpu
def test_on_cuda() -> None:
    masks = some_masks()
    assert masks_to_rle(masks.cuda()) == masks_to_rle(masks)
