"""``--tta``: test-time augmentation by the config's `tta_model` and `tta_pipeline`, or by these defaults."""

import re
from collections.abc import Collection, Sequence
from copy import deepcopy

from mmengine.config import Config
from mmengine.model import BaseTTAModel
from torch import nn

from mmagg.datasets.coco_folder import unwrapped
from mmagg.datasets.config_parts import dicts, type_name
from mmagg.io.errors import InputError
from mmagg.models.detectors import MaskTTAModel

FACTORS = (1, 0.8, 1.2)  # of the size that the config tests at; the first view is the image as it is
FLIPS = (0.0, 1.0)  # RandomFlip's probability


def use_tta(cfg: Config, cfg_options: Collection[str] | None = None) -> None:
    """Change a config, in place, so that the model merges its predictions for several views of each test image.

    Args:
        cfg: the config, with the options merged into it.
        cfg_options: the dotted keys of the options.

    Raises:
        InputError: the config has no `tta_pipeline`, and `pipeline_of_views` refuses its test pipeline; or it has one,
            and an option changes the test pipeline, which it replaces.
    """
    dataset = unwrapped(cfg.test_dataloader.dataset)
    if cfg.get('tta_pipeline') is None:
        cfg.tta_pipeline = pipeline_of_views(dataset.get('pipeline') or [])
    elif lost := [key for key in cfg_options or () if re.match(r'test_dataloader\.(dataset\.)+pipeline\b', key)]:
        raise InputError(f'--cfg-options {lost[0]}: --tta takes the tta_pipeline of the config instead; change that')
    dataset['pipeline'] = cfg.tta_pipeline
    wrapper = cfg.get('tta_model') or {}
    if type_name(wrapper) == 'DetTTAModel' and _measures_masks(cfg):
        wrapper = {}  # it drops masks; mmdet's RTMDet-Ins inherits it from RTMDet
    cfg.model = {'type': MaskTTAModel.__name__, **wrapper, 'module': cfg.model}


def _measures_masks(cfg: Config) -> bool:
    return any('segm' in (metric.get('metric') or ()) for _, metric in dicts(cfg.test_evaluator))


def detector_of(model: nn.Module) -> nn.Module:
    """The detector in a model with test-time augmentation; any other model is the detector itself."""
    return model.module if isinstance(model, BaseTTAModel) else model


def pipeline_of_views(pipeline: Sequence[dict]) -> list[dict]:
    """A test pipeline that yields every image at each of `FACTORS` times the size, as it is and mirrored.

    Args:
        pipeline: transforms with one ``Resize``, none to a fixed size, and ``PackDetInputs`` last.

    Raises:
        InputError: the pipeline is another.
    """
    kinds = [type_name(step) for step in pipeline]
    if kinds.count('Resize') != 1 or kinds[-1] != 'PackDetInputs' or any('size' in step for step in pipeline):
        raise InputError(
            f'--tta: the test pipeline ({", ".join(kinds)}) should have one Resize, no transform to a fixed size, and '
            'PackDetInputs last; give the config a tta_pipeline, as in configs/_base_/mask_tta.py'
        )
    at = kinds.index('Resize')
    before, resize, after = pipeline[:at], pipeline[at], [deepcopy(dict(step)) for step in pipeline[at + 1 :]]
    if 'meta_keys' in after[-1]:  # the default ones include the flip
        after[-1]['meta_keys'] = (*after[-1]['meta_keys'], 'flip', 'flip_direction')
    views = [
        [_resized(resize, factor) for factor in FACTORS],
        [dict(type='RandomFlip', prob=prob) for prob in FLIPS],
        *([step] for step in after),
    ]
    return [*before, dict(type='TestTimeAug', transforms=views)]


def _resized(resize: dict, factor: float) -> dict:
    """A ``Resize`` to a multiple of its size."""
    key = 'scale' if resize.get('scale') is not None else 'scale_factor'
    size = resize[key]
    many = [x * factor for x in (size if isinstance(size, tuple | list) else (size,))]
    many = [round(x) for x in many] if key == 'scale' else many
    return {**resize, key: tuple(many) if isinstance(size, tuple | list) else many[0]}
