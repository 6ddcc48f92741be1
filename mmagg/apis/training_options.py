"""What the flags of a training change in its config: a function a flag.

All of it is said by mmdet's and mmengine's own keys, so the config that a training saves gives the same training in
mmdet alone. `--cfg-options` win: where one sets the key that a flag is about, the flag is left out, and what a flag
sets beside its own key gives way as well (`mmagg.apis.config.load_config` merges options again). Flags that add to a
list, or wrap the data, come after the options, whose places are those of the config's file.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from tqdm import tqdm

from mmagg.apis.config_options import option_places
from mmagg.apis.launch import processes
from mmagg.apis.pipeline_sizes import set_short_side
from mmagg.apis.runner_settings import VALIDATION
from mmagg.apis.schedule_lengths import set_epochs
from mmagg.apis.watched_scores import score_to_watch
from mmagg.datasets.coco_objects import MAX_DETECTIONS
from mmagg.datasets.config_parts import dicts, type_name
from mmagg.engine.detection_cap import detection_cap
from mmagg.io.errors import InputError

# Names of the loggers: mmengine's backend, what it imports, and what pip calls that.
LOGGERS = {
    'tensorboard': ('TensorboardVisBackend', 'torch.utils.tensorboard', 'tensorboard'),
    'wandb': ('WandbVisBackend', 'wandb', 'wandb'),
    'mlflow': ('MLflowVisBackend', 'mlflow', 'mlflow'),
    'clearml': ('ClearMLVisBackend', 'clearml', 'clearml'),
    'neptune': ('NeptuneVisBackend', 'neptune', 'neptune'),
    'dvclive': ('DVCLiveVisBackend', 'dvclive', 'dvclive'),
    'aim': ('AimVisBackend', 'aim', 'aim'),
}
RARE = 0.1  # the share of images below which `--class-balanced` repeats those of a class; LVIS's 0.001 is for 100,000
LEAST_GAIN = 0.0005  # of a score, that ends the wait of `--patience`: half of what three decimals tell apart
NUMBERS = {
    'epochs',
    'batch_size',
    'accumulate',
    'short_side',
    'workers',
    'freeze',
    'max_detections',
    'patience',
    'seed',
}
LEAST = {'workers': 0, 'freeze': 0, 'seed': 0}  # 1 of all others
MOST = {'seed': 2**32 - 1}  # NumPy's


def set_batch_size(cfg: Config, size: int) -> None:
    """Images of a step in one process; `scale_learning_rate` follows."""
    cfg.train_dataloader.batch_size = size


def set_accumulate(cfg: Config, steps: int) -> None:
    """Iterations whose gradients are added up before the optimiser takes a step; `scale_learning_rate` follows."""
    cfg.optim_wrapper.accumulative_counts = steps


def set_workers(cfg: Config, workers: int) -> None:
    """Processes that load images, of all three data loaders; without any, none can be kept or fetch ahead."""
    for loader in filter(None, map(cfg.get, ('train_dataloader', 'val_dataloader', 'test_dataloader'))):
        loader['num_workers'] = workers
        if not workers:
            loader['persistent_workers'] = False
            loader.pop('prefetch_factor', None)


def set_freeze(cfg: Config, stages: int) -> None:
    """Stages of the backbone that do not learn, after the stem; its batch norm keeps the statistics it has."""
    backbone = cfg.model.get('backbone') or {}
    kind = MODELS.get(backbone['type']) if isinstance(backbone.get('type'), str) else backbone.get('type')
    known = {} if kind is None else inspect.signature(kind).parameters
    if 'frozen_stages' not in known:
        raise InputError(f'--freeze {stages}: {type_name(backbone) or "the model"} has no stages that could be frozen')
    number = _stages(backbone, known)
    if number is not None and stages > number:
        raise InputError(f'--freeze {stages}: the backbone has {number} stages; a number from 0 to {number} is wanted')
    backbone['frozen_stages'] = stages
    if 'norm_eval' in known:
        backbone['norm_eval'] = True


def _stages(backbone: dict, known: Mapping[str, inspect.Parameter]) -> int | None:
    """Stages of a backbone, as many as it says or as its levels take; None where neither is known."""
    given = {**{name: parameter.default for name, parameter in known.items()}, **backbone}
    levels = given.get('out_indices')
    return given.get('num_stages', max(levels) + 1 if levels else None)


def set_max_detections(cfg: Config, number: int) -> None:
    """The most objects that a model finds in an image, and that the metric counts of a class, from COCO's 100 on.

    What comes before that limit, as proposals and candidates of a level, is raised where it is lower.
    """
    cap = detection_cap(cfg)
    if cap is None:
        raise InputError(f'--max-detections {number}: the config sets no such limit (model.test_cfg.max_per_img)')
    before = [*cap.earlier, 'model.test_cfg.nms_pre']
    for key in (cap.key, *(key for key in before if (_at(cfg, key) or number) < number)):
        cfg.merge_from_dict({key: number})
    for part in ('val_evaluator', 'test_evaluator'):
        for _, metric in dicts(cfg.get(part)):
            if type_name(metric) == 'COCOInstanceMetric':
                metric['max_dets'] = max(number, metric.get('max_dets', MAX_DETECTIONS))


def set_save_best(cfg: Config, wanted: bool) -> None:
    """Keep the checkpoint with the best score as well (`score_to_watch`, or the config's own), or keep none."""
    hooks = cfg.setdefault('default_hooks', {})
    if not wanted:
        if hooks.get('checkpoint'):
            hooks['checkpoint'].pop('save_best', None)
        return
    hook = hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))  # mmengine's default
    if hook and not hook.get('save_best') and (score := score_to_watch(cfg)):
        hook['save_best'] = score


def set_ema(cfg: Config, _: bool) -> None:
    """Average the weights over the training, by mmdet's settings; validated, saved and tested are the averages."""
    ema = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True, priority=49)
    if not any(type_name(hook) == 'EMAHook' for hook in cfg.get('custom_hooks') or ()):
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), ema]


def set_patience(cfg: Config, patience: int) -> None:
    """End when the watched score has not risen in this many validations."""
    if not all(cfg.get(part) for part in VALIDATION):
        raise InputError(f'--patience {patience}: the config has no validation ({", ".join(VALIDATION)})')
    hooks = list(cfg.get('custom_hooks') or ())
    own = next((hook for hook in hooks if type_name(hook) == 'EarlyStoppingHook'), None)
    if own is not None:
        own['patience'] = patience
        return
    score = score_to_watch(cfg)
    if score is None:
        raise InputError(
            f"--patience {patience}: the scores of the config's metric are not known here; name one with "
            '--cfg-options default_hooks.checkpoint.save_best=NAME'
        )
    hook = dict(type='EarlyStoppingHook', monitor=score, patience=patience, min_delta=LEAST_GAIN)
    cfg.custom_hooks = [*hooks, hook]


def set_class_balanced(cfg: Config, _: bool) -> None:
    """Repeat training images with classes that are in less than `RARE` of them (mmdet's `ClassBalancedDataset`).

    That is the repeat factor sampling of LVIS (Gupta et al. 2019): √(RARE / share) times, rounded up.
    """
    holder = cfg.train_dataloader
    while 'dataset' in holder['dataset'] and type_name(holder['dataset']) != 'ClassBalancedDataset':
        holder = holder['dataset']
    if type_name(holder['dataset']) == 'ClassBalancedDataset':
        return
    if 'datasets' in holder['dataset']:
        raise InputError('--class-balanced: the training joins several data sets, whose classes are not counted')
    holder['dataset'] = dict(type='ClassBalancedDataset', oversample_thr=RARE, dataset=holder['dataset'])


def set_logger(cfg: Config, names: Sequence[str]) -> None:
    """Log to these of `LOGGERS` as well."""
    visualizer = cfg.setdefault('visualizer', dict(type='DetLocalVisualizer'))
    for name in names:
        if name not in LOGGERS:
            raise InputError(f'--logger {name}: choose one of {", ".join(LOGGERS)}')
        backend, module, package = LOGGERS[name]
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(f'--logger {name}: {error}; pip install {package}') from error
        backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
        if not any(type_name(one) == backend for one in backends):
            visualizer.vis_backends = [*backends, dict(type=backend)]


# By the flag's name: the key that it is about, and its function.
CHANGES: dict[str, tuple[str, Callable[[Config, Any], None]]] = {
    'epochs': ('train_cfg.max_epochs', set_epochs),
    'batch_size': ('train_dataloader.batch_size', set_batch_size),
    'accumulate': ('optim_wrapper.accumulative_counts', set_accumulate),
    'short_side': ('', set_short_side),
    'workers': ('train_dataloader.num_workers', set_workers),
    'freeze': ('model.backbone.frozen_stages', set_freeze),
    'max_detections': ('model.test_cfg.max_per_img', set_max_detections),
    'save_best': ('default_hooks.checkpoint.save_best', set_save_best),
}
ADDITIONS: dict[str, Callable[[Config, Any], None]] = {
    'ema': set_ema,
    'patience': set_patience,
    'class_balanced': set_class_balanced,
    'logger': set_logger,
}


def change(cfg: Config, *, flags: Mapping[str, Any], options: dict | None, launcher: str, notes: list[str]) -> None:
    """What flags change in the values of a config, in place.

    Args:
        cfg: the config, with the options merged into it.
        flags: by name, those of `ADDITIONS` as well; None or False for one that is not given.
        options: the dotted keys of `--cfg-options`.
        launcher: the starter of the processes, whose number the learning rate goes with.
        notes: gets a line for each flag that an option overrules, and for another learning rate.

    Raises:
        InputError: a number is below its least, or the config has no place for what a flag asks.
    """
    if not all(cfg.get(part) for part in ('train_dataloader', 'train_cfg', 'optim_wrapper')):
        return  # `check_settings` says so
    set_by_options = set(_leaves(options))
    unset = {name for name, value in flags.items() if value is None or (value is False and name != 'save_best')}
    given = {name: value for name, value in flags.items() if name not in unset}
    for name, value in given.items():
        least = LEAST.get(name, 1)
        if name in NUMBERS and (type(value) is not int or value < least):
            raise InputError(f'--{name.replace("_", "-")} {value}: a whole number from {least} is wanted')
        if value > MOST.get(name, value):
            raise InputError(
                f'--{name.replace("_", "-")} {value}: a whole number from {least} to {MOST[name]} is wanted'
            )
    before = _images_a_step(cfg)
    for name, (key, function) in CHANGES.items():
        if name not in given:
            continue
        if key in set_by_options:
            if name != 'save_best':  # which is a default
                notes.append(f'--{name.replace("_", "-")} {given[name]}: --cfg-options {key} wins')
            continue
        function(cfg, given[name])
    if {'batch_size', 'accumulate'} & given.keys() and 'optim_wrapper.optimizer.lr' not in set_by_options:
        notes += filter(None, [scale_learning_rate(cfg, before=before, processes=processes(launcher))])


def add(cfg: Config, *, flags: Mapping[str, Any]) -> None:
    """What flags of `ADDITIONS` add to a config, in place, when options have been merged into it.

    Raises:
        InputError: as `change`.
    """
    for name, function in ADDITIONS.items():
        if value := flags.get(name):
            function(cfg, value)


def scale_learning_rate(cfg: Config, *, before: int, processes: int) -> str | None:
    """Let the learning rate go with the images of a step: linearly, or by the root with optimisers of Adam's kind.

    Linearly is what mmengine's `auto_scale_lr` does, and right for SGD (Goyal et al. 2017); steps of Adam's kind do not
    grow with the gradient, and the root holds (Malladi et al. 2022). The images that a config's rate is for are its
    `auto_scale_lr.base_batch_size`, which becomes the new number, or else its own batch.

    Args:
        cfg: with the new batch, changed in place.
        before: images of a step in one process, by the config.
        processes: their number.

    Returns:
        a line that says what was changed.
    """
    auto = cfg.get('auto_scale_lr') or {}
    now, base = _images_a_step(cfg) * processes, auto.get('base_batch_size') or before * processes
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    rate = optimizer.get('lr')
    if auto.get('enable') or now == base:  # mmengine scales it, or there is nothing to scale
        return None
    if not isinstance(rate, int | float):
        return f'the learning rate is left as it is, for {base} images a step and not {now}'
    root = 'adam' in type_name(optimizer).lower()
    optimizer['lr'] = rate * (now / base) ** (0.5 if root else 1)
    if auto:
        auto['base_batch_size'] = now
    how = ', by the root, as for Adam' if root else ''
    return f'learning rate {rate:.4g} → {optimizer["lr"]:.4g}, for {now} images a step instead of {base}{how}'


def _images_a_step(cfg: Config) -> int:
    """Images between two steps of the optimiser in one process."""
    return (cfg.train_dataloader.get('batch_size') or 1) * (cfg.optim_wrapper.get('accumulative_counts') or 1)


def say(notes: Collection[str]) -> None:
    """Print the lines of `change` to stderr."""
    for line in notes:
        tqdm.write(f'note: {line}', file=sys.stderr)


def _leaves(options: dict | None) -> Iterator[str]:
    """The dotted keys of all values that options set."""
    for key, value in (options or {}).items():
        yield from map('.'.join, option_places(key.split('.'), value))


def _at(cfg: Any, key: str) -> Any:
    for name in key.split('.'):
        cfg = cfg.get(name) if isinstance(cfg, dict | Config) else None
    return cfg
