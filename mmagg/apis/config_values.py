"""Values in a config that nothing can be built from, found before anything is: it would go wrong much later."""

from collections.abc import Iterator
from reprlib import repr as shortened
from typing import Any

from mmengine.config import Config

from mmagg.datasets.config_parts import dicts, parts
from mmagg.io.errors import InputError

# Keys of mmdet's and our own modules. What is 0 or negative there ends in divisions by zero, also in compiled code.
SIZES = {
    'attention_size',
    'base_channels',
    'channels',
    'feat_channels',
    'grids',
    'in_channels',
    'kernel_size',
    'mask_size',
    'num_codes',
    'num_grids',
    'num_outs',
    'out_channels',
    'pad_size_divisor',
}
STEPS = {'strides'}  # pixels, which anchors, as YOLACT's, have in fractions
NUMBERS = {'filter_thr', 'loss_weight', 'mask_thr', 'mask_thr_binary', 'max_per_img', 'nms_pre', 'score_thr'}


def check_types(cfg: Config | dict, name: str) -> None:
    """Refuse a config with a part whose ``type`` names no class: it is empty, a number or a list.

    None is left to a module whose argument is a dict such as `upsample_cfg`, for which it may mean to do without.

    Args:
        cfg: the config, or parts of it.
        name: its name in the message.

    Raises:
        InputError: names the part.
    """
    for key, part in dicts(cfg):
        kind = part.get('type', dict)
        if kind is None and key.startswith('model.') and key.endswith('_cfg'):
            continue
        if not (kind if isinstance(kind, str) else callable(kind)):
            raise InputError(f'config {name}: {key}.type is {shortened(kind)}, where the name of a class is wanted')


def check_model_numbers(cfg: Config, name: str) -> None:
    """Refuse sizes that are not whole numbers from 1, strides below 1, and text or the like as thresholds and weights.

    Args:
        cfg: with a `model`.
        name: of the config, for the message.

    Raises:
        InputError: names the first such key, with its value.
    """
    for key, value in parts(cfg.model, 'model'):
        kind = key.rpartition('.')[2]
        if kind in SIZES and any(type(one) is not int or one < 1 for one in _plain(value)):
            raise InputError(f'config {name}: {key}={value!r:.200}, where whole numbers from 1 are wanted')
        if kind in STEPS and any(isinstance(one, str | bool) or one < 1 for one in _plain(value)):
            raise InputError(f'config {name}: {key}={value!r:.200}, where numbers from 1 are wanted')
        if kind in NUMBERS and any(isinstance(one, str | bool) for one in _plain(value)):
            raise InputError(f'config {name}: {key}={value!r:.200}, where a number is wanted')


def _plain(value: Any) -> Iterator[Any]:
    """The numbers and texts of a value, alone or in lists; other objects are their modules' own affair."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _plain(one)
    elif isinstance(value, int | float | str):
        yield value
