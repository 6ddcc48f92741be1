"""A detector with random weights, for measuring."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmagg.apis.config import load_config
from mmagg.io.errors import InputError
from mmagg.models.masks import assume_dictionaries

SEED = 0


def random_model(config: str, cfg_options: dict | None) -> nn.Module:
    """Build a detector and initialise its weights; the same ones every time, and nothing is downloaded.

    Args:
        config: config file, or ``mmdet::<path>``.
        cfg_options: changes to it, dotted keys.

    Raises:
        InputError: the config cannot be used, or its model is no detector.
    """
    cfg = load_config(config, cfg_options).model
    _forget_pretrained(cfg)
    torch.manual_seed(SEED)
    with _quiet():
        model = revert_sync_batchnorm(MODELS.build(cfg))
        for part in ('backbone', 'extract_feat', 'predict'):
            if not hasattr(model, part):
                raise InputError(
                    f'config {config}: a {type(model).__name__} has no `{part}`; only detectors can be measured'
                )
        model.init_weights()
    assume_dictionaries(model)
    return model


def _forget_pretrained(cfg: Any) -> None:
    """Drop references to pretrained weights anywhere in a model's config."""
    if isinstance(cfg, (list, tuple)):
        for item in cfg:
            _forget_pretrained(item)
    elif isinstance(cfg, ConfigDict):
        if cfg.get('pretrained'):
            cfg.pretrained = None
        if isinstance(cfg.get('init_cfg'), dict) and cfg.init_cfg.get('type') == 'Pretrained':
            cfg.init_cfg = None
        for value in cfg.values():
            _forget_pretrained(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without mmengine's line per initialised parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
