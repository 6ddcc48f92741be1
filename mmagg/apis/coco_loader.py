"""The test images of a config whose data come from a COCO file, for tools that look at them image by image."""

import sys

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import number_of_classes
from mmagg.io.errors import InputError


def images_to_test(cfg: Config, name: str, max_images: int | None) -> DataLoader:
    """The test images, all or the first of them.

    Args:
        cfg: the config; changed if there is a `max_images`.
        name: what messages call it.
        max_images: most of them, None for all.

    Raises:
        InputError: it has no test data, or no COCO categories.
    """
    if cfg.get('test_dataloader') is None:
        raise InputError(f'config {name}: no `test_dataloader`, so it cannot be tested')
    if max_images:
        cfg.test_dataloader.dataset.indices = max_images
    loader = Runner.build_dataloader(cfg.test_dataloader)
    if not getattr(loader.dataset, 'cat_ids', None):
        raise InputError(
            f'config {name}: {type(loader.dataset).__name__} has no COCO category ids; test on a CocoDataset'
        )
    return loader


def check_classes(model: nn.Module, dataset: BaseDataset) -> None:
    """Compare the classes of a model with those of the data; a warning where only the names differ.

    Args:
        model: with `dataset_meta`.
        dataset: with `cat_ids`.

    Raises:
        InputError: there are not as many.
    """
    known, here = number_of_classes(model), len(dataset.cat_ids)
    if known not in (None, here):
        raise InputError(f'the model tells {known} classes apart, {dataset.ann_file} has {here}')
    if tuple(model.dataset_meta['classes']) != tuple(dataset.metainfo['classes']):
        tqdm.write('warning: the checkpoint was trained for other class names than the data has', file=sys.stderr)
