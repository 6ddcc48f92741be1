"""Settings of a run that mmengine refuses late, when the data have been checked and parts been built, or never."""

import logging
import sys
from collections.abc import Collection
from copy import deepcopy
from inspect import signature
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import HOOKS, METRICS, OPTIMIZERS
from mmengine.config import Config
from tqdm import tqdm

from mmagg.datasets.config_parts import dicts, type_name
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.coco_scores import KINDS
from mmagg.evaluation.lvis_star_metric import KINDS as LVIS_KINDS
from mmagg.evaluation.lvis_star_metric import LVISStarMetric
from mmagg.io.errors import InputError, one_line

OF_MASKS = ('segm', 'boundary')
VALIDATION = ('val_dataloader', 'val_cfg', 'val_evaluator')
MEASURES = {
    COCOInstanceMetric: KINDS,
    LVISStarMetric: LVIS_KINDS,
    CocoMetric: ('bbox', 'segm', 'proposal', 'proposal_fast'),
}


def check_settings(cfg: Config, name: str, stages: Collection[str], *, main: bool = True) -> None:
    """Refuse settings with which a run would end later, and say in a line where a training keeps its last state alone.

    Args:
        cfg: the whole config.
        name: its file.
        stages: of train, val and test: what is run.
        main: this is the main process, which speaks for the others.

    Raises:
        InputError: names the setting, and what may stand there.
    """
    if 'train' in stages:
        _check_training(cfg, name)
    level = cfg.get('log_level', 'INFO')
    names = [key for key, number in logging._nameToLevel.items() if number]  # mmengine's; public from Python 3.11 on
    if level not in names and not (isinstance(level, int) and not isinstance(level, bool)):
        raise InputError(f'config {name}: log_level={level!r}, where one of {", ".join(names)} is wanted')
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):  # NumPy's
        raise InputError(
            f'config {name}: randomness.seed={seed!r}, where a whole number from 0 to {2**32 - 1} is wanted'
        )
    if not isinstance(cfg.get('load_from'), str | None):
        raise InputError(f'config {name}: load_from={cfg.load_from!r}, where the file of a checkpoint is wanted')
    boxes_alone = _without_masks(cfg)
    for stage in stages:
        for place, metric in dicts(cfg.get(f'{stage}_evaluator'), f'{stage}_evaluator'):
            _check_metric(f'config {name}: {place}', metric)
            if boxes_alone and (of_masks := [one for one in _measured(metric) if one in OF_MASKS]):
                what = f'measures {", ".join(of_masks)}, but {boxes_alone[0]}.masks is None, so there are boxes alone'
                raise InputError(f'config {name}: {place} {what}; add --cfg-options {place}.metric=bbox')
    hooks = cfg.get('default_hooks') or {}
    for key in ('logger', 'checkpoint'):
        if hooks.get(key):
            _check_hook(f'config {name}: default_hooks.{key}', hooks[key])
    if 'train' in stages and main and hooks.get('checkpoint'):
        _tell_of_checkpoints(hooks['checkpoint'])


def _tell_of_checkpoints(hook: dict[str, Any]) -> None:
    interval = hook.get('interval', -1)
    if interval < 1:
        last = 'none at all' if hook.get('save_last') is False else 'one at the end alone'
        note = f'note: default_hooks.checkpoint.interval={interval}: checkpoints are not saved on the way, {last}'
        tqdm.write(note, file=sys.stderr)


def _check_training(cfg: Config, name: str) -> None:
    """Refuse a config that lacks what a training, or its validation, needs."""
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if not cfg.get(part):
            raise InputError(f'config {name}: no `{part}`, so it cannot be trained')
    for length in ('max_epochs', 'max_iters', 'val_interval'):
        value = cfg.train_cfg.get(length, 1)
        if not isinstance(value, int | float) or value < 1:
            raise InputError(f'config {name}: train_cfg.{length}={value}, where a number from 1 is wanted')
    size = cfg.train_dataloader.get('batch_size', 1)
    if size is not None and (not isinstance(size, int) or size < 1):
        raise InputError(f'config {name}: train_dataloader.batch_size={size}, where a whole number from 1 is wanted')
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    kind, rate = optimizer.get('type'), optimizer.get('lr', 0)
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise InputError(f'config {name}: optim_wrapper.optimizer.type={kind!r}: there is no such optimizer')
    if isinstance(rate, str | list | tuple):  # 0,001 is a list on the command line
        raise InputError(f'config {name}: optim_wrapper.optimizer.lr={rate}, where a number such as 0.001 is wanted')
    given = [part for part in VALIDATION if cfg.get(part) is not None]
    if given and len(given) < len(VALIDATION):
        missing = ', '.join(part for part in VALIDATION if part not in given)
        raise InputError(
            f'config {name}: {missing} is None, but {", ".join(given)} is not; a validation needs all three, and a '
            'training without one has None for each'
        )


def _without_masks(cfg: Config) -> list[str]:
    """The places of heads with boxes that have no masks."""
    heads = ((place, head) for place, head in dicts(cfg.get('model'), 'model') if type_name(head) == 'BoxedMaskHead')
    return [place for place, head in heads if head.get('masks') is None]


def _class_of(metric: dict) -> type | None:
    """The class of `MEASURES` that a metric is one of; None for others."""
    kind = metric.get('type')
    kind = METRICS.get(kind) if isinstance(kind, str) else kind
    return next((base for base in MEASURES if isinstance(kind, type) and issubclass(kind, base)), None)


def _measured(metric: dict) -> list[str]:
    """What a metric measures, where that is known of it: what it is told, else its default."""
    if (kind := _class_of(metric)) is None:
        return []
    measures = metric.get('metric')
    if measures is None:
        measures = signature(kind).parameters['metric'].default
    return [measures] if isinstance(measures, str) else list(measures)


def _check_metric(place: str, metric: dict) -> None:
    """Refuse what a metric does not measure, where that is known of it."""
    wrong = [one for one in _measured(metric) if one not in MEASURES[_class_of(metric)]]
    if wrong:
        known = ', '.join(MEASURES[_class_of(metric)])
        raise InputError(f'{place}.metric={metric["metric"]!r}: name one or more of {known}')


def _check_hook(place: str, hook: dict[str, Any]) -> None:
    """Refuse arguments that a hook of mmengine refuses."""
    if not isinstance(hook.get('interval', 1), int):
        raise InputError(f'{place}.interval={hook["interval"]!r}: a whole number is wanted')
    try:
        HOOKS.build(deepcopy(hook))
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise InputError(f'{place}: {one_line(error)}') from error
