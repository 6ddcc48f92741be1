"""A trained model in two calls: ``model = load_model(config, checkpoint)``, ``infer(model, images)``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.apis import inference_detector
from mmdet.models import BaseDetector, ResNet
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmagg.apis.checkpoint import checkpoint_classes, load_checkpoint, load_weights, number_of_classes
from mmagg.apis.config import load_config
from mmagg.apis.hardware import usable_device
from mmagg.datasets.image_errors import unusable
from mmagg.engine.first_step import running
from mmagg.engine.weight_layout import laid_out
from mmagg.io.errors import InputError, building
from mmagg.io.images import bgr_image, read_image
from mmagg.models.postprocess import encode_masks
from mmagg.visualization.rle_visualizer import RLEVisualizer


def load_model(
    config: str | Path | Config, checkpoint: str | Path, device: str | None = None, cfg_options: dict | None = None
) -> BaseDetector:
    """Build a model and load its weights, all of them.

    mmdet's ``init_detector`` skips weights that do not fit and assumes COCO's class names where it finds none.

    Args:
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, or a loaded config, which stays as it is.
        checkpoint: a .pth file or a URL.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.

    Returns:
        The model in evaluation mode, with ``cfg`` and ``dataset_meta['classes']`` set.

    Raises:
        InputError: the config, the checkpoint or the device cannot be used.
    """
    config = load_config(
        config, cfg_options, changes=[ask_for_rle, draw_rle], reads={'model', 'test_dataloader', 'visualizer'}
    )
    place = usable_device(device)
    content = load_checkpoint(checkpoint)
    with building():
        model = revert_sync_batchnorm(MODELS.build(config.model))
    load_weights(model, content, checkpoint)
    encode_masks(model)
    model.cfg = config
    number = number_of_classes(model)
    names = checkpoint_classes(content) or _classes_of(config, number)
    unnamed = [f'class {i}' for i in range(len(names), number or 0)]  # by a checkpoint that has fewer names
    model.dataset_meta = {'classes': (*names, *unnamed)}
    return for_inference(model.to(place).eval())


def infer(model: BaseDetector, images: Sequence[str | Path | np.ndarray]) -> list[DetDataSample]:
    """Predict the instances of each image, one image at a time.

    Args:
        model: from `load_model`.
        images: files, or arrays as of `bgr_image`.

    Returns:
        A sample each, with ``pred_instances``: labels (N,), scores (N,), bboxes (N, 4) in pixels, and masks,
        (N, H, W) bool or a list of N RLE dicts.

    Raises:
        InputError: an image cannot be read, or an array is none; or one cannot be resized as the model needs it,
            because it is too narrow; or the model does not run, a `ModelError`.
    """
    samples = []
    for image in images:
        pixels = bgr_image(image) if isinstance(image, np.ndarray) else read_image(Path(image))
        with running(model):
            try:
                samples.append(inference_detector(model, pixels))
            except cv2.error as error:
                name = '' if isinstance(image, np.ndarray) else f'{image}: '
                raise InputError(f'{name}{unusable(error, pixels.shape[:2])}') from error
    return samples


def for_inference(model: BaseDetector) -> BaseDetector:
    """Merge and lay out a model's weights for its device, in place; results stay the same to rounding.

    A ResNet's batch normalisation is merged into the convolutions; in heads, levels may share a convolution but not its
    normalisation. On the CPU, weights become channels_last where they may: `laid_out`.

    Args:
        model: on its device, with its weights, in evaluation mode.
    """
    if isinstance(getattr(model, 'backbone', None), ResNet):
        fuse_conv_bn(model.backbone)
    return laid_out(model)


def ask_for_rle(cfg: Config) -> None:
    """Let a model return RLE masks, if it can: dense masks of large images fill the memory.

    In configs, masks are bitmaps, which mmdet's own tools and its `DetInferencer` draw and write.
    """
    if 'mask_format' in (cfg.model.get('test_cfg') or {}):
        cfg.model.test_cfg.mask_format = 'rle'


def return_rle(model: nn.Module) -> None:
    """Let a built model return RLE masks, if it can; its config, which training saves, stays as it is."""
    for module in model.modules():
        post_process: Any = getattr(module, 'post_process', None)
        if hasattr(post_process, 'mask_format'):
            post_process.mask_format = 'rle'


def draw_rle(cfg: Config) -> None:
    """Let mmdet's visualizer draw masks that are RLE as well, in place."""
    visualizer = cfg.get('visualizer') or {}
    if visualizer.get('type') in ('DetLocalVisualizer', 'mmdet.DetLocalVisualizer'):
        visualizer['type'] = RLEVisualizer.__name__


def _classes_of(cfg: Config, number: int | None) -> tuple[str, ...]:
    """The class names of the config's test data, or numbers if the model has another number of classes."""
    dataset = dict((cfg.get('test_dataloader') or {}).get('dataset') or {})
    names = tuple(DATASETS.build({**dataset, 'lazy_init': True}).metainfo.get('classes', ())) if dataset else ()
    return names if number in (None, len(names)) else tuple(f'class {i}' for i in range(number))
