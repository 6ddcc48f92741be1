"""RLE against pycocotools, mask by mask, and there and back."""

import json

import numpy as np
import pytest
import torch

from mmagg.ops import MaskWindows, masks_to_rle, rle_to_masks, windows_to_rle, write_windows

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


@pytest.mark.gpu
def test_on_cuda() -> None:
    masks = some_masks()
    assert masks_to_rle(masks.cuda()) == masks_to_rle(masks)
