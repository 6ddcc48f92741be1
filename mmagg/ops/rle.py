"""Masks as tensors to and from COCO's run-length encoding, see `mmagg.rle.codes`.

Shape shorthand: N masks of (H, W) pixels, n of them as windows.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmagg.ops.mask_windows import MaskWindows
from mmagg.ops.run_ends import run_ends
from mmagg.ops.stage import stage
from mmagg.ops.window_table import PackedWindows

HELD_BYTES = 2**30  # of windows on a GPU that are not encoded yet

# `mmagg.rle` needs NumPy, which operators do without: it is imported where masks are encoded.


@stage('RLE')
def masks_to_rle(masks: Any) -> list[dict]:
    """Encode masks, see `mmagg.rle.codes.masks_to_rle`."""
    from mmagg.rle import codes

    return codes.masks_to_rle(masks)


@stage('RLE')
def windows_to_rle(windows: MaskWindows, size: tuple[int, int]) -> list[dict]:
    """Encode masks given as windows.

    Args:
        windows: n masks.
        size: (H, W) of the image.

    Returns:
        n dicts as of `masks_to_rle`, in the order of the windows.
    """
    from mmagg.rle import codes

    pixels = windows.rows.view(torch.uint8).cpu().numpy()
    rles = []
    stop = 0
    for left, top, height in torch.stack(windows[1:4], 1).tolist():
        start, stop = stop, stop + height
        rles.append(codes.window_to_rle(pixels[start:stop], left, top, size))
    return rles


def all_windows_to_rle(chunks: Iterable[MaskWindows | PackedWindows], size: tuple[int, int]) -> list[dict]:
    """Encode masks given as chunks of windows that are being computed.

    On the CPU each chunk is encoded while it is in the caches. On a GPU chunks wait until they have `HELD_BYTES`, and
    are waited for together.

    Args:
        chunks: N masks with `indices` from 0 to N - 1, each in one chunk.
        size: (H, W) of the image.

    Returns:
        N dicts as of `masks_to_rle`, in the order of the indices.
    """
    found: dict[int, dict] = {}
    held: list[MaskWindows | PackedWindows] = []
    for windows in chunks:
        if isinstance(windows, MaskWindows) and windows.rows.device.type == 'cpu':
            found |= zip(windows.indices.tolist(), windows_to_rle(windows, size), strict=True)
            continue
        if sum(map(_num_pixels, held)) + _num_pixels(windows) > HELD_BYTES:
            found |= _held_to_rle(held, size)
            held = []
        held.append(windows)
    found |= _held_to_rle(held, size)
    return [found[i] for i in range(len(found))]


def _num_pixels(windows: MaskWindows | PackedWindows) -> int:
    return (windows.rows if isinstance(windows, MaskWindows) else windows.pixels).numel()


@stage('RLE')
def _held_to_rle(chunks: Sequence[MaskWindows | PackedWindows], size: tuple[int, int]) -> dict[int, dict]:
    """The masks of some chunks by their indices."""
    from mmagg.rle import codes

    indices = [i for windows in chunks for i in windows.indices.tolist()]
    ends = run_ends(chunks, size)
    return {i: codes.ends_to_rle(own.numpy(), size) for i, own in zip(indices, ends, strict=True)}


def rle_to_masks(rles: Sequence[dict], height: int, width: int) -> Tensor:
    """Decode masks.

    Args:
        rles: N masks.
        height: H.
        width: W.

    Returns:
        (N, H, W) bool, on the CPU.

    Raises:
        ValueError: an RLE has another size.
    """
    from pycocotools import mask as coco_mask

    from mmagg.rle import codes

    for i, rle in enumerate(rles):
        if list(rle['size']) != [height, width]:
            raise ValueError(f'RLE {i} is of size {list(rle["size"])}, not [{height}, {width}]')
    if len(rles) == 0:
        return torch.zeros(0, height, width, dtype=torch.bool)
    columns = torch.from_numpy(coco_mask.decode([codes.compressed(rle) for rle in rles]).T)  # (N, W, H)
    return columns.transpose(1, 2).contiguous().bool()
