"""The test images of a config whose data come from a COCO file, for experiments with a trained model."""

import sys
from functools import partial
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmdet.models.detectors import BaseDetector
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import number_of_classes
from mmagg.apis.config import load_config
from mmagg.apis.config_options import options_kept
from mmagg.apis.data import check_data, use_coco_folder
from mmagg.apis.inference import ask_for_rle
from mmagg.datasets.findings import Findings
from mmagg.datasets.image_check import check_images
from mmagg.datasets.image_errors import name_images_in_errors
from mmagg.datasets.pipeline_needs import pipeline_needs
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
        InputError: the config cannot be used, has no test data, or no COCO categories, or an image cannot be used.
    """
    changes = [partial(use_coco_folder, folder=coco, stages=['test'])]
    cfg = load_config(config, cfg_options, changes=changes, reads={'model', 'test_dataloader', 'work_dir'})
    if cfg.get('test_dataloader') is None:
        raise InputError(f'config {config}: no `test_dataloader`, so it cannot be tested')
    check_data(cfg, ['test'], purpose='show')
    with options_kept(cfg, cfg_options):
        ask_for_rle(cfg)  # as which masks are compared here
        if max_images:
            cfg.test_dataloader.dataset.indices = max_images
    loader = Runner.build_dataloader(cfg.test_dataloader)
    if not getattr(loader.dataset, 'cat_ids', None):
        raise InputError(
            f'config {config}: {type(loader.dataset).__name__} has no COCO category ids; test on a CocoDataset'
        )
    name_images_in_errors(loader.dataset)
    _refuse_images(loader.dataset, pipeline_needs(cfg.test_dataloader.dataset)['resized_to'])
    return cfg, loader


def _refuse_images(dataset: CocoDataset, resized_to: int | None) -> None:
    """Refuse images that are missing, broken, thin or of another size than annotated."""
    infos = map(dataset.get_data_info, range(len(dataset)))
    images = [{'file_name': info['img_path'], 'height': info['height'], 'width': info['width']} for info in infos]
    findings = Findings()
    check_images(findings, images, Path(), decode=True, resized_to=resized_to)
    fatal = [f'{dataset.ann_file}: {found.message}' for found in findings.summary() if found.severity == 'fatal']
    if fatal:
        raise InputError(*fatal)


def check_classes(model: BaseDetector, dataset: CocoDataset) -> None:
    """Compare the classes of a model, by its `dataset_meta`, with those of a COCO data set; warn of different names.

    Raises:
        InputError: their numbers differ.
    """
    known, here = number_of_classes(model), len(dataset.cat_ids)
    if known not in (None, here):
        raise InputError(f'the model tells {known} classes apart, {dataset.ann_file} has {here}')
    if tuple(model.dataset_meta['classes']) != tuple(dataset.metainfo['classes']):
        tqdm.write('warning: the checkpoint was trained for other class names than the data has', file=sys.stderr)
