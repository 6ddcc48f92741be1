"""Steps of one image, so small that a batch norm has one value a channel, which PyTorch refuses to learn from.

It would end a training at the first such step, which may be hours away: the last of an epoch, with small random sizes.
"""

from math import ceil

import torch
from mmdet.models import BaseDetector
from mmengine.config import Config

from mmagg.apis.pipeline_sizes import smallest_side
from mmagg.apis.plain_model import model_without_numbers
from mmagg.datasets.config_parts import type_name
from mmagg.io.errors import InputError

REFUSED = 'more than 1 value per channel'  # of PyTorch's message


def check_single_pixels(cfg: Config, *, images: int) -> None:
    """Refuse a training in which an image may come alone, and be too small for a batch norm of backbone or neck.

    Args:
        cfg: the whole config; its model is run without numbers, on the smallest image that its pipeline makes.
        images: of an epoch, in one process.

    Raises:
        InputError: names the size, and what helps.
    """
    batch = cfg.train_dataloader.get('batch_size') or 1
    rest, side = images % batch, _padded_side(cfg)
    endless = type_name(cfg.train_dataloader.get('sampler') or {}) == 'InfiniteSampler'
    alone = batch == 1 or (rest == 1 and not endless and not cfg.train_dataloader.get('drop_last'))
    if not alone or side is None or _learns(model_without_numbers(cfg), side):
        return
    what = f'images of {side} x {side} pixels leave one pixel to a batch norm, which cannot learn from one image alone'
    if batch == 1:
        raise InputError(f'{what}, as with train_dataloader.batch_size=1: take 2 or more, or larger images')
    raise InputError(
        f'{what}, and one of {images} is left over for the last step with {batch} a step: take another --batch-size or '
        'a larger --short-side; --cfg-options train_dataloader.drop_last=True leaves one out of each epoch'
    )


def _padded_side(cfg: Config) -> int | None:
    """The least side of an image in training, padded; None where it is not known."""
    side = smallest_side(cfg)
    divisor = (cfg.model.get('data_preprocessor') or {}).get('pad_size_divisor') or 1
    return None if side is None else ceil(side / divisor) * divisor


def _learns(model: BaseDetector, side: int) -> bool:
    """False where an image of this side, alone, is refused by a batch norm; True where that is not known."""
    try:
        model.train().extract_feat(torch.zeros(1, 3, side, side, device=next(model.parameters()).device))
    except Exception as error:  # of any backbone, and of operators that do not run without numbers
        return REFUSED not in str(error)
    return True
