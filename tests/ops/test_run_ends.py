"""Run ends from windows against pycocotools' codes of the masks."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from mmagg.ops import MaskWindows
from mmagg.ops.run_ends import run_ends
from mmagg.rle.codes import ends_to_rle


def some_windows(size: tuple[int, int], w: int, num: int = 23) -> MaskWindows:
    """Windows of any place and height: at the borders, as high as the image, of no row at all."""
    height, width = size
    heights = torch.cat([torch.randint(0, height + 1, (num - 3,)), torch.tensor([0, height, height])])
    return MaskWindows(
        indices=torch.randperm(num),
        left=torch.cat([torch.randint(0, width - w + 1, (num - 2,)), torch.tensor([0, width - w])]),
        top=((height + 1 - heights) * torch.rand(num)).long(),
        height=heights,
        rows=torch.rand(int(heights.sum()), w) > torch.rand(1),
    )


def codes_of(windows: MaskWindows, size: tuple[int, int]) -> list[str]:
    """pycocotools' codes of the masks."""
    masks = np.zeros((len(windows.top), *size), np.uint8)
    parts = zip(masks, windows.left, windows.top, windows.rows.split(windows.height.tolist()), strict=True)
    for mask, left, top, part in parts:
        mask[top : top + len(part), left : left + part.shape[1]] = part
    return [rle['counts'].decode() for rle in coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0)))]


@pytest.mark.parametrize('size', [(24, 31), (31, 24), (1, 40), (9, 200)])
def test_ends_of_several_chunks_make_the_codes_of_the_masks(size: tuple[int, int]) -> None:
    chunks = [some_windows(size, w) for w in (1, 5, 8, min(size[1], 30))]
    chunks.append(
        chunks[0]._replace(height=torch.zeros(23, dtype=torch.long), rows=torch.zeros(0, 1, dtype=torch.bool))
    )
    chunks.append(chunks[1]._replace(rows=torch.ones_like(chunks[1].rows)))
    found = [ends_to_rle(ends.numpy(), size) for ends in run_ends(chunks, size)]
    assert [rle['counts'] for rle in found] == [code for windows in chunks for code in codes_of(windows, size)]
    assert {tuple(rle['size']) for rle in found} == {size}


def test_no_chunk_has_no_ends() -> None:
    assert run_ends([], (4, 5)) == []
