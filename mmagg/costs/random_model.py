"""A detector with random weights, and random images for it."""

import logging
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.apis.config import load_config
from mmagg.io.errors import InputError, building
from mmagg.models.masks import assume_dictionaries

SEED = 0
MASK_FORMAT = 'model.test_cfg.mask_format'  # an option for it wins over what a measurement would choose


def random_model(config: str, cfg_options: dict | None) -> BaseDetector:
    """Build a detector and initialise its weights; the same ones every time, and nothing is downloaded.

    Args:
        config: config file, ``mmagg::<path>`` or ``mmdet::<path>``.
        cfg_options: changes to it, dotted keys.

    Raises:
        InputError: the config cannot be used, or its model is no detector.
    """
    return detector_of(load_config(config, cfg_options, reads={'model'}).model, config)


def detector_of(cfg: ConfigDict, config: str) -> BaseDetector:
    """`random_model` of a model's config, which errors call ``config``."""
    _forget_pretrained(cfg)
    torch.manual_seed(SEED)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)  # no line per initialised parameter
    try:
        with building():
            model = revert_sync_batchnorm(MODELS.build(cfg))
        for part in ('backbone', 'extract_feat', 'predict'):
            if not hasattr(model, part):
                kind = type(model).__name__
                raise InputError(f'config {config}: a {kind} has no `{part}`; only detectors can be measured')
        model.init_weights()
    finally:
        logger.setLevel(level)
    assume_dictionaries(model)
    return model


def _forget_pretrained(cfg: Any) -> None:
    """Drop references to pretrained weights anywhere in a model's config."""
    if isinstance(cfg, ConfigDict):
        if cfg.get('pretrained'):
            cfg.pretrained = None
        if isinstance(cfg.get('init_cfg'), dict) and cfg.init_cfg.get('type') == 'Pretrained':
            cfg.init_cfg = None
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        for item in cfg:
            _forget_pretrained(item)


def random_batch(
    batch_size: int,
    shape: tuple[int, int],
    *,
    num_classes: int,
    objects: int,
    device: str | torch.device,
    seed: int = SEED,
) -> tuple[Tensor, list[DetDataSample]]:
    """Smooth random images with elliptic objects of all scales.

    Args:
        batch_size: B.
        shape: (H, W), multiples of 32, which is also the original images' size.
        num_classes: labels are below this.
        objects: per image.
        device: of everything but the masks.
        seed: of all random numbers.

    Returns:
        (B, 3, H, W) normalised images and B samples with `gt_instances`.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = shape
    coarse = torch.randn(batch_size, 3, height // 32, width // 32, generator=generator)
    noise = torch.randn(batch_size, 3, *shape, generator=generator)
    images = F.interpolate(coarse, size=shape, mode='bilinear') + 0.1 * noise
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), shape)
    samples = []
    for i in range(batch_size):
        boxes, masks = ellipses(objects, height, width, rng)
        instances = InstanceData(
            bboxes=torch.from_numpy(boxes).to(device),
            labels=torch.from_numpy(rng.integers(0, num_classes, objects)).to(device),
            masks=BitmapMasks(masks, height, width),
        )
        sample = DetDataSample(metainfo={'img_id': i, 'scale_factor': (1.0, 1.0), **sizes}, gt_instances=instances)
        sample.colours = F.avg_pool2d(64 * images[i] + 128, 4).to(device)  # for BoxInst's losses
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4, device=device))
        samples.append(sample)
    return images.to(device), samples


def ellipses(number: int, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses of all scales in random places: boxes (number, 4) float32, masks (number, height, width) uint8."""
    short = min(height, width)
    sides = np.geomspace(short / 50, 0.8 * short, number)[:, None] * np.exp(rng.uniform(-0.2, 0.2, (number, 2)))
    w, h = sides.T
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    rows, columns = np.ogrid[:height, :width]
    across = (columns + 0.5 - (x + w / 2)[:, None, None]) / w[:, None, None]
    down = (rows + 0.5 - (y + h / 2)[:, None, None]) / h[:, None, None]
    return np.stack([x, y, x + w, y + h], 1).astype(np.float32), (across**2 + down**2 <= 0.25).astype(np.uint8)
