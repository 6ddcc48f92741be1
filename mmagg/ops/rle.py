"""Binary masks as COCO's compressed run-length encoding (RLE), and back.

Shape shorthand: N masks of (H, W) pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def masks_to_rle(masks: Tensor) -> list[dict]:
    """Encode masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        N dicts `{'size': [H, W], 'counts': str}`, as COCO's result files hold them.
    """
    from pycocotools import mask as coco_mask

    if len(masks) == 0:
        return []
    # pycocotools wants (H, W, N) in Fortran order, which is the transpose of a contiguous (N, W, H).
    columns = masks.transpose(1, 2).contiguous().view(torch.uint8)
    rles = coco_mask.encode(columns.cpu().numpy().T)
    return [{'size': list(rle['size']), 'counts': rle['counts'].decode()} for rle in rles]


def rle_to_masks(rles: Sequence[dict], height: int, width: int) -> Tensor:
    """Decode masks.

    Args:
        rles: N dicts `{'size': [H, W], 'counts': str or bytes}`.
        height: H.
        width: W; the size is asked for because no RLE may be there to tell it.

    Returns:
        (N, H, W) bool, on the CPU.

    Raises:
        ValueError: an RLE has another size.
    """
    from pycocotools import mask as coco_mask

    for i, rle in enumerate(rles):
        if list(rle['size']) != [height, width]:
            raise ValueError(f'RLE {i} is of size {list(rle["size"])}, not [{height}, {width}]')
    if len(rles) == 0:
        return torch.zeros(0, height, width, dtype=torch.bool)
    columns = torch.from_numpy(coco_mask.decode(list(rles)).T)  # (N, W, H)
    return columns.transpose(1, 2).contiguous().bool()
