"""Values in a config that nothing can be built from, found before anything is: it would go wrong much later."""

from collections.abc import Iterator
from importlib import import_module
from reprlib import repr as shortened
from typing import Any

from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config

from mmagg.datasets.config_parts import dicts, parts
from mmagg.io.errors import InputError, one_line

# Keys of modules of these packages; in those of others the same names may mean something else. What is 0 or negative
# there ends in divisions by zero, also in compiled code.
PACKAGES = {'mmagg', 'mmcv', 'mmdet', 'mmengine', 'torch'}
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


def check_packages(cfg: Config, name: str) -> None:
    """Refuse a model with a part of mmpretrain, as `mmpretrain.ConvNeXt`, where that cannot be imported.

    Args:
        cfg: with a `model`.
        name: of the config, for the message.

    Raises:
        InputError: names the part and the command that installs the package.
    """
    for key, part in dicts(cfg.model, 'model'):
        if not str(part.get('type')).startswith('mmpretrain.'):
            continue
        try:
            import_module('mmpretrain.models')
        except (ImportError, AssertionError) as error:  # AssertionError: it is for another mmcv
            raise InputError(
                f'config {name}: {key} is of mmpretrain, which cannot be imported ({one_line(error)}): '
                "pip install onedl-mmpretrain, or, beside OpenMMLab's mmcv, pip install mmpretrain"
            ) from error


def check_model_numbers(cfg: Config, name: str) -> None:
    """Refuse sizes that are not whole numbers from 1, strides below 1, and text or the like as thresholds and weights.

    Arguments of classes that are not of `PACKAGES`, or not known, are left alone.

    Args:
        cfg: with a `model`.
        name: of the config, for the message.

    Raises:
        InputError: names the first such key, with its value.
    """
    for key, value in parts(cfg.model, 'model'):
        wanted = _wanted(key.rpartition('.')[2], value)
        if wanted and _is_checked(_type_around(cfg.model, key)):
            raise InputError(f'config {name}: {key}={value!r:.200}, where {wanted} wanted')


def _wanted(key: str, value: Any) -> str | None:
    """What is wanted instead of a value that cannot be; None for one that can."""
    if key in SIZES and any(type(one) is not int or one < 1 for one in _plain(value)):
        return 'whole numbers from 1 are'
    if key in STEPS and any(isinstance(one, str | bool) or one < 1 for one in _plain(value)):
        return 'numbers from 1 are'
    if key in NUMBERS and any(isinstance(one, str | bool) for one in _plain(value)):
        return 'a number is'
    return None


def _type_around(model: dict, key: str) -> Any:
    """The `type` of the innermost part that has one and that a key is in."""
    around = [part['type'] for place, part in dicts(model, 'model') if 'type' in part and key.startswith(f'{place}.')]
    return around[-1] if around else None


def _is_checked(kind: Any) -> bool:
    """True for a class of `PACKAGES`, or its name in the registries."""
    named = [kind] if not isinstance(kind, str) else [registry.get(kind) for registry in (MODELS, TASK_UTILS)]
    return any(getattr(found, '__module__', '').partition('.')[0] in PACKAGES for found in named)


def _plain(value: Any) -> Iterator[Any]:
    """The numbers and texts of a value, alone or in lists; other objects are their modules' own affair."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _plain(one)
    elif isinstance(value, int | float | str):
        yield value
