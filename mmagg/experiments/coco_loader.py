"""The test images of a config whose data come from a COCO file, for experiments with a trained model."""

import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import number_of_classes
from mmagg.apis.config import load_config
from mmagg.apis.data import use_coco_folder
from mmagg.datasets.image_errors import name_images_in_errors
from mmagg.io.errors import InputError


def images_to_test(
    config: str | Path,
    *,
    coco: str | Path | None = None,
    max_images: int | None = None,
    cfg_options: dict | None = None,
) -> tuple[Config, DataLoader]:
    """A config, and the data loader of its test images, all or the first of them.

    Args:
        config: the file.
        coco: a folder in COCO format whose images are taken instead.
        max_images: number of images at most; None for all.
        cfg_options: changes to the config, dotted keys.

    Raises:
        InputError: the config cannot be used, has no test data, or no COCO categories.
    """
    cfg = load_config(config, cfg_options)
    if coco:
        use_coco_folder(cfg, Path(coco))
    if cfg.get('test_dataloader') is None:
        raise InputError(f'config {config}: no `test_dataloader`, so it cannot be tested')
    if max_images:
        cfg.test_dataloader.dataset.indices = max_images
    loader = Runner.build_dataloader(cfg.test_dataloader)
    if not getattr(loader.dataset, 'cat_ids', None):
        raise InputError(
            f'config {config}: {type(loader.dataset).__name__} has no COCO category ids; test on a CocoDataset'
        )
    name_images_in_errors(loader.dataset)
    return cfg, loader


def check_classes(model: nn.Module, dataset: BaseDataset) -> None:
    """Compare the classes of a model, by its `dataset_meta`, with those of a COCO data set; warn of different names.

    Raises:
        InputError: their numbers differ.
    """
    known, here = number_of_classes(model), len(dataset.cat_ids)
    if known not in (None, here):
        raise InputError(f'the model tells {known} classes apart, {dataset.ann_file} has {here}')
    if tuple(model.dataset_meta['classes']) != tuple(dataset.metainfo['classes']):
        tqdm.write('warning: the checkpoint was trained for other class names than the data has', file=sys.stderr)
