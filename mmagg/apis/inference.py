"""A trained model in two calls: ``model = load_model(config, checkpoint)``, ``infer(model, images)``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.apis import inference_detector
from mmdet.models import ResNet
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmagg.apis.checkpoint import checkpoint_classes, load_weights, number_of_classes, read_checkpoint
from mmagg.apis.config import load_config
from mmagg.apis.hardware import usable_device
from mmagg.io.errors import InputError
from mmagg.io.images import read_image


def load_model(
    config: str | Path | Config, checkpoint: str | Path, device: str | None = None, cfg_options: dict | None = None
) -> nn.Module:
    """Build a model and load its weights, all of them.

    mmdet's ``init_detector`` loads what fits and assumes COCO's class names otherwise; here both are errors
    or known.

    Args:
        config: a config file, its name or a loaded config.
        checkpoint: a .pth file or a URL.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.

    Returns:
        The model in evaluation mode, with ``cfg`` and ``dataset_meta['classes']`` set.

    Raises:
        InputError: the config, the checkpoint or the device cannot be used.
    """
    if not isinstance(config, Config):
        config = load_config(config, cfg_options)
    elif cfg_options:
        raise InputError('cfg_options: only with the name of a config; merge them into the loaded one')
    ask_for_rle(config)
    device = usable_device(device)
    content = read_checkpoint(checkpoint)
    model = revert_sync_batchnorm(MODELS.build(config.model))
    load_weights(model, content, checkpoint)
    model.cfg = config
    model.dataset_meta = {'classes': checkpoint_classes(content) or _classes_of(config, number_of_classes(model))}
    return for_inference(model.to(device).eval())


def infer(model: nn.Module, images: Sequence[str | Path | np.ndarray]) -> list[DetDataSample]:
    """Predict the instances of each image, one image at a time.

    Args:
        model: from `load_model`.
        images: files, or (H, W, 3) uint8 BGR arrays.

    Returns:
        A sample each, with ``pred_instances``: labels (N,), scores (N,), bboxes (N, 4), and masks, (N, H, W)
        bool or a list of N RLE dicts.

    Raises:
        InputError: an image cannot be read.
    """
    return [
        inference_detector(model, image if isinstance(image, np.ndarray) else read_image(Path(image)))
        for image in images
    ]


def for_inference(model: nn.Module) -> nn.Module:
    """Merge and lay out the weights for the device; results stay the same to rounding.

    Batch normalisation with fixed statistics is a part of the convolution before it. That is done in a ResNet only: in
    heads, convolutions may be shared by levels that have a normalisation of their own each. On the CPU, convolutions of
    channels_last weights need no reordering of their inputs and outputs. Models with operators of mmcv
    stay as they are: its deformable convolution reads such weights as if they were contiguous, and gives wrong results.

    Args:
        model: on its device, with its weights, in evaluation mode; it is changed.
    """
    if isinstance(getattr(model, 'backbone', None), ResNet):
        fuse_conv_bn(model.backbone)
    on_cpu = next(model.parameters()).device.type == 'cpu'
    of_mmcv = any(type(module).__module__.startswith('mmcv.ops') for module in model.modules())
    return model.to(memory_format=torch.channels_last) if on_cpu and not of_mmcv else model


def ask_for_rle(cfg: Config) -> None:
    """Where the model can return its masks as RLE, let it: dense masks of large images fill the memory."""
    if 'mask_format' in (cfg.model.get('test_cfg') or {}):
        cfg.model.test_cfg.mask_format = 'rle'


def _classes_of(cfg: Config, number: int | None) -> tuple[str, ...]:
    """The config's class names, or plain numbers where they cannot be meant."""
    dataset = dict((cfg.get('test_dataloader') or {}).get('dataset') or {})
    names = tuple(DATASETS.build({**dataset, 'lazy_init': True}).metainfo.get('classes', ())) if dataset else ()
    return names if number in (None, len(names)) else tuple(f'class {i}' for i in range(number))
