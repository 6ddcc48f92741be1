"""Images whose values are the ids of objects: 16 bits of grey, a palette, or colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmagg.formats.source import Size
from mmagg.io.errors import InputError
from mmagg.io.images import check_image_file, image_header
from mmagg.rle.codes import decode_window, mask_box

MOST_PIXELS = 2**30


def read_ids(path: Path, size: Size) -> np.ndarray:
    """The ids of the pixels: (H, W) int; of a colour, R + 256 G + 65536 B; of a palette, the place in it.

    Raises:
        OSError: there is no such file.
        InputError: it is no image, or of another size.
    """
    check_image_file(path)
    found = image_header(path)
    if found is None:
        raise InputError(f'{path}: cannot be read as an image')
    width, height = found[1]
    if (height, width) != tuple(size):
        raise InputError(f'{path} is {width}×{height}, its image {size[1]}×{size[0]}')
    try:
        with Image.open(path) as image:
            pixels = np.array(image if image.mode in ('P', 'L', 'I', 'I;16', 'I;16B', '1') else image.convert('RGB'))
    except Exception as error:  # Pillow raises many kinds
        raise InputError(f'{path}: cannot be read as an image') from error
    if pixels.ndim == 3:
        return pixels.astype(np.int64) @ np.array([1, 256, 65536])
    return pixels.astype(np.int64)


def palette(path: Path) -> list[tuple[int, int, int]] | None:
    """The colours of a palette, R, G, B; None for an image without one."""
    with Image.open(path) as image:
        flat = image.getpalette() if image.mode == 'P' else None
    return None if flat is None else list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def id_masks(ids: np.ndarray) -> dict[int, dict]:
    """The mask of each id, in their order, in one go through the pixels.

    Args:
        ids: (H, W) int.

    Returns:
        RLE by id.
    """
    from pycocotools import mask as coco_mask

    height, width = ids.shape
    flat = ids.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.append(starts[1:], len(flat))
    order = np.argsort(flat[starts], kind='stable')
    values, firsts = np.unique(flat[starts][order], return_index=True)
    masks = {}
    for value, runs in zip(values.tolist(), np.split(order, firsts[1:]), strict=True):
        edges = np.stack([starts[runs], ends[runs]], 1).ravel()
        counts = np.diff(edges, prepend=0, append=len(flat))
        counts = (counts if counts[-1] else counts[:-1]).tolist()
        code = coco_mask.frPyObjects({'size': [height, width], 'counts': counts}, height, width)['counts']
        masks[value] = {'size': [height, width], 'counts': code.decode()}
    return masks


def paint_objects(masks: Sequence[dict | None], size: Size) -> np.ndarray:
    """(H, W) int: 1 in the first mask, 2 in the second, …, later ones over earlier ones; 0 elsewhere."""
    ids = np.zeros(size, np.int64)
    for number, mask in enumerate(masks, 1):
        if mask is not None:
            x, y, w, h = mask_box(mask)
            ids[y : y + h, x : x + w][decode_window(mask, (x, y, w, h)).astype(bool)] = number
    return ids


def colour_ids(ids: np.ndarray) -> np.ndarray:
    """Ids (H, W) as colours (H, W, 3) uint8, as `read_ids` reads them: R + 256 G + 65536 B."""
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=2).astype(np.uint8)
