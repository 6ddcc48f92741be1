"""The sizes of a config's pipelines, of training and of testing, scaled together (`--short-side`)."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from mmengine.config import Config

from mmagg.datasets.config_parts import dicts, type_name
from mmagg.datasets.sight import finest_stride
from mmagg.io.errors import InputError

# Transforms that make or take pixels: the arguments that say how many.
SIZED = {
    'Resize': ('scale',),
    'FixScaleResize': ('scale',),
    'RandomResize': ('scale',),
    'RandomChoiceResize': ('scales',),
    'RandomCrop': ('crop_size',),
    'RandomCropOnInstance': ('crop_size',),
    'Pad': ('size',),
    'Mosaic': ('img_scale',),
    'CachedMosaic': ('img_scale',),
    'MixUp': ('img_scale',),
    'CachedMixUp': ('img_scale',),
    'BatchFixedSizePad': ('size',),
    'BatchResize': ('scale',),
    'BatchSyncRandomResize': ('random_size_range',),
}
# Those that do the same at every size.
UNSIZED = {
    'AutoContrast',
    'Brightness',
    'Color',
    'ColorTransform',
    'CopyPaste',
    'Contrast',
    'Equalize',
    'FilterAnnotations',
    'InstanceContours',
    'LoadAnnotations',
    'LoadImageFromFile',
    'LoadPanopticAnnotations',
    'LoadPolygonAnnotations',
    'MinIoURandomCrop',
    'PackDetInputs',
    'PhotoMetricDistortion',
    'Posterize',
    'RandomAffine',
    'RandomErasing',
    'RandomFlip',
    'Sharpness',
    'Solarize',
    'ThreeChannels',
    'YOLOXHSVRandomAug',
}
NESTED = {'Compose', 'RandomApply', 'RandomChoice', 'RandomOrder', 'TestTimeAug'}  # around others
PARTIAL = ('relative', 'relative_range')  # crop types whose sizes are shares of the image
RESIZING = ('Resize', 'FixScaleResize')


def set_short_side(cfg: Config, short_side: int) -> None:
    """Let a config test at images of this short side, and train at sizes scaled by the same factor, in place.

    All pixels in the pipelines are scaled, so their proportions stay: several scales, the range of large-scale jitter
    and its crop, paddings. Sizes that the model has, as the ranges of objects of its levels, stay.

    Args:
        cfg: the whole config.
        short_side: pixels; the long side keeps its proportion to it.

    Raises:
        InputError: the test pipeline has no `Resize` to a size, or a transform of another kind is in the way: what it
            does at another size is not known here. Or an image would be smaller than the network's finest stride.
    """
    tested = short_side_of_tests(cfg, f'--short-side {short_side}')
    stride, smallest = finest_stride(cfg) or 1, min(tested, smallest_side(cfg) or tested)
    if short_side * smallest < stride * tested:
        raise InputError(
            f"--short-side {short_side}: images would be smaller than the network's finest stride, {stride:g} pixels; "
            f'a number from {ceil(stride * tested / smallest)} is wanted'
        )
    factor = short_side / tested
    for place, step in steps(cfg):
        name = type_name(step)
        if name not in SIZED.keys() | UNSIZED | NESTED or step.get('scale_factor'):
            raise InputError(
                f'--short-side {short_side}: {place} is {name}, of which it is not known here what it does at another '
                'size; set the sizes of the pipelines in a config file'
            )
        for key in SIZED.get(name, ()):
            if step.get(key) is not None and step.get('crop_type') not in PARTIAL:
                step[key] = _scaled(step[key], factor)


def short_side_of_tests(cfg: Config, flag: str) -> int:
    """The short side of images in the test pipeline, in pixels, else in that of validation.

    Raises:
        InputError: no step of it resizes to a size; the message begins with ``flag``.
    """
    for part in ('test_dataloader', 'val_dataloader'):
        for _, step in steps({part: cfg.get(part)}):
            if type_name(step) in RESIZING and step.get('scale'):
                return step['scale'] if isinstance(step['scale'], int) else min(step['scale'])
    raise InputError(f"{flag}: the config's test pipeline has no Resize to a size that could be scaled")


def smallest_side(cfg: Config) -> int | None:
    """The least side that training resizes images to, or crops from them, in pixels; None where it is not known."""
    sides = []
    for _, step in steps({'train_dataloader': cfg.get('train_dataloader')}):
        if type_name(step) in (*RESIZING, 'RandomResize', 'RandomChoiceResize'):
            scales = step.get('scales') or step.get('scale') or ()
            least = min(step.get('ratio_range') or (1,))
            sides += [int(one * least) for one in _numbers(scales)]
        elif step.get('crop_type', 'absolute') == 'absolute':
            sides += _numbers(step.get('crop_size') or ())
    return min(sides, default=None)


def steps(cfg: Config | dict) -> Iterator[tuple[str, dict]]:
    """The transforms of a config's pipelines, those inside of others as well, each once, with its dotted key."""
    seen: set[int] = set()  # pipelines may share them
    for place, part in _pipelines(cfg):
        for key, step in dicts(part, place):
            in_list = key.rpartition('.')[2].isdigit()  # and no argument, as `resize_cfg` is
            if 'type' in step and in_list and id(step) not in seen:
                seen.add(id(step))
                yield key, step


def _pipelines(cfg: Config | dict) -> Iterator[tuple[str, Any]]:
    """All pipelines of a config that are run, and what its model does to batches of images."""
    if cfg.get('tta_pipeline'):
        yield 'tta_pipeline', cfg['tta_pipeline']
    for top in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'custom_hooks', 'model'):
        for place, part in dicts(cfg.get(top), top):
            for key in ('pipeline', 'switch_pipeline', 'batch_augments'):
                if part.get(key):
                    yield f'{place}.{key}', part[key]


def _numbers(sizes: int | list | tuple) -> list[int]:
    """The numbers in sizes, however they are nested."""
    return [sizes] if isinstance(sizes, int | float) else [number for one in sizes for number in _numbers(one)]


def _scaled(value: Any, factor: float) -> Any:
    """Sizes in the form that they have: a number, or tuples and lists of them."""
    if isinstance(value, list | tuple):
        return type(value)(_scaled(one, factor) for one in value)
    return max(1, int(value * factor + 0.5)) if value > 0 else value
