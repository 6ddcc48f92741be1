"""Scores that a config watches, looked up before a training begins."""

from collections.abc import Iterator
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config

from mmagg.apis.runner_settings import VALIDATION
from mmagg.datasets.config_parts import dicts, type_name
from mmagg.engine.watched_scores import LOSSES, refuse_unknown
from mmagg.evaluation.coco_scores import AP_NAMES, NAMES
from mmagg.io.errors import InputError


def check_watched_scores(cfg: Config, name: str, *, val_loss: bool) -> None:
    """Refuse a config that watches a score which its validation does not have.

    Names are known of metrics with a ``score_names``. If there are others, `WatchedScoresHook` waits for the first
    validation.

    Args:
        cfg: the whole config.
        name: its file.
        val_loss: the losses of validation images are computed as well.

    Raises:
        InputError: a line that names what watches, and the scores that there are.
    """
    watched = list(_watched(cfg))
    if not watched:
        return
    if not all(cfg.get(part) for part in VALIDATION):
        place, names = watched[0]
        raise InputError(
            f'{place}={names[0]!r}: config {name} has no validation ({", ".join(VALIDATION)}), so there is no score'
        )
    known = _score_names(cfg.get('val_evaluator'))
    losses = val_loss or any('ValidationLoss' in type_name(hook) for hook in cfg.get('custom_hooks') or [])
    if known is None:
        return
    for place, names in watched:
        refuse_unknown(place, [one for one in names if not (losses and one.startswith(LOSSES))], known)


def _watched(cfg: Config) -> Iterator[tuple[str, list[str]]]:
    """What a config's hooks and schedules watch, by their place in it."""
    for key in ('default_hooks', 'custom_hooks', 'param_scheduler'):
        for place, part in dicts(cfg.get(key), key):
            if best := part.get('save_best'):
                yield f'{place}.save_best', [best] if isinstance(best, str) else list(best)
            if any(kind in type_name(part) for kind in ('EarlyStopping', 'ReduceOnPlateau')):
                yield f'{place}.monitor', [part.get('monitor', 'loss')]


def score_to_watch(cfg: Config) -> str | None:
    """The score by which the best checkpoint is chosen: the config's `save_best`, else AP of masks, else of boxes.

    None without a validation, or where the metrics do not tell what they have.
    """
    named = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best')
    if isinstance(named, str) and named != 'auto':
        return named
    if not all(cfg.get(part) for part in VALIDATION):
        return None
    known = [name for one in _metrics(cfg.val_evaluator) for name in _names_of({**one, 'classwise': False}) or ()]
    return next((name for kind in ('segm', 'bbox') for name in known if name.endswith(f'/{kind}_mAP')), None)


def _score_names(evaluator: Any) -> list[str] | None:
    """The names of all scores of an evaluator, or None if not all of its metrics tell."""
    result: list[str] = []
    for metric in _metrics(evaluator):
        names = _names_of(metric)
        if names is None:
            return None
        result += names
    return result


def _metrics(evaluator: Any) -> list[Any]:
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    return list(evaluator) if isinstance(evaluator, list | tuple) else [evaluator]


def _names_of(metric: Any) -> list[str] | None:
    """The names of a metric's scores, where it tells."""
    kind = metric.get('type') if isinstance(metric, dict) else None
    kind = METRICS.get(kind) if isinstance(kind, str) else kind
    tell = _of_coco_metric if kind is CocoMetric else getattr(kind, 'score_names', lambda **_: None)
    return tell(**{key: value for key, value in metric.items() if key != 'type'})


def _of_coco_metric(
    *, metric: str | list[str] = 'bbox', prefix: str | None = None, classwise: bool = False, **more: Any
) -> list[str] | None:
    """The names of the scores of mmdet's `CocoMetric`; None where they depend on the data or on further arguments."""
    kinds = [metric] if isinstance(metric, str) else metric
    if classwise or more.get('metric_items') or more.get('format_only') or not {*kinds} <= {'bbox', 'segm'}:
        return None
    return [f'{prefix or CocoMetric.default_prefix}/{kind}_{name}' for kind in kinds for name in NAMES[: len(AP_NAMES)]]
