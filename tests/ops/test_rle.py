"""RLE against pycocotools, mask by mask, and there and back."""

import json

import numpy as np
import pytest
import torch

from mmagg.ops import masks_to_rle, rle_to_masks

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
