"""Scores that a config watches, looked up before a training begins."""

from collections.abc import Iterator
from typing import Any

from mmdet.registry import METRICS
from mmengine.config import Config

from mmagg.datasets.config_parts import dicts, type_name
from mmagg.engine.watched_scores import LOSSES, refuse_unknown
from mmagg.io.errors import InputError

VALIDATION = ('val_dataloader', 'val_cfg', 'val_evaluator')


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
    for place, names in watched if known is not None else ():
        refuse_unknown(place, [one for one in names if not (losses and one.startswith(LOSSES))], known)


def _watched(cfg: Config) -> Iterator[tuple[str, list[str]]]:
    """What a config's hooks and schedules watch, by their place in it."""
    for key in ('default_hooks', 'custom_hooks', 'param_scheduler'):
        for place, part in dicts(cfg.get(key), key):
            if best := part.get('save_best'):
                yield f'{place}.save_best', [best] if isinstance(best, str) else list(best)
            if any(kind in type_name(part) for kind in ('EarlyStopping', 'ReduceOnPlateau')):
                yield f'{place}.monitor', [part.get('monitor', 'loss')]


def _score_names(evaluator: Any) -> list[str] | None:
    """The names of all scores of an evaluator, or None if not all of its metrics tell."""
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    result: list[str] = []
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        kind = metric.get('type') if isinstance(metric, dict) else None
        kind = METRICS.get(kind) if isinstance(kind, str) else kind
        names = getattr(kind, 'score_names', lambda **_: None)(**{k: v for k, v in metric.items() if k != 'type'})
        if names is None:
            return None
        result += names
    return result
