"""The COCO data sets that a config reads, found and named without reading them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config

# What makes a `CocoDataset` of a class: subclasses with other forms of these read something else.
READERS = ('load_data_list', 'parse_data_info', 'COCOAPI')

Part = tuple[str, Mapping[str, Any]]
"""A part of a config, with its dotted key."""


@dataclass(frozen=True)
class CocoSource:
    """A data set of a config that `CocoDataset` reads, alone or inside wrappers.

    Attributes:
        key: its place in the config, such as ``train_dataloader.dataset``.
        dataset: the data set with its paths joined; nothing is read yet, and it has no pipeline.
        named: True if the config names its classes; else they are those of the data set's type.
    """

    key: str
    dataset: CocoDataset
    named: bool

    @property
    def stage(self) -> str:
        """Whose data it is: train, val or test."""
        return self.key.partition('_')[0]

    @property
    def annotations(self) -> Path:
        """The annotation file."""
        return Path(self.dataset.ann_file)

    @property
    def images(self) -> Path:
        """The folder of the images."""
        return Path(self.dataset.data_prefix.get('img') or '.')

    @property
    def classes(self) -> Any:
        """The names of the classes, as the config, or the data set's type, has them."""
        return self.dataset.metainfo.get('classes')


def datasets_of(cfg: Config, stages: Collection[str]) -> Iterator[Part]:
    """The configs of the data sets inside all wrappers, each with its dotted key.

    Args:
        cfg: the config.
        stages: of train, val and test; those that the config lacks are left out.
    """
    for stage in stages:
        loader = cfg.get(f'{stage}_dataloader') or {}
        if loader.get('dataset'):
            yield from _unwrapped(loader['dataset'], f'{stage}_dataloader.dataset')


def coco_sources(cfg: Config, stages: Collection[str]) -> list[CocoSource]:
    """The data sets of a config that are COCO's.

    Others, such as LVIS's or VOC's, are left out, and those whose files are behind a storage backend.

    Args:
        cfg: the config.
        stages: of train, val and test.
    """
    sources = []
    for key, dataset in datasets_of(cfg, stages):
        if not is_local(dataset, dataset.get('ann_file') or ''):
            continue
        kind = DATASETS.get(dataset['type']) if isinstance(dataset['type'], str) else dataset['type']
        if all(getattr(kind, name, None) is getattr(CocoDataset, name) for name in READERS):
            lazy = DATASETS.build({**dataset, 'lazy_init': True, 'pipeline': []})
            sources.append(CocoSource(key, lazy, named='classes' in (dataset.get('metainfo') or {})))
    return sources


def is_local(part: Mapping[str, Any], path: str) -> bool:
    """True if a file that a part of a config names can be opened by its path."""
    return not part.get('backend_args') and '://' not in str(path)


def _unwrapped(dataset: Mapping[str, Any], key: str) -> Iterator[Part]:
    if 'dataset' in dataset:  # RepeatDataset and its like
        yield from _unwrapped(dataset['dataset'], f'{key}.dataset')
    elif 'datasets' in dataset:  # ConcatDataset
        for index, part in enumerate(dataset['datasets']):
            yield from _unwrapped(part, f'{key}.datasets.{index}')
    elif dataset.get('type') is not None:
        yield key, dataset
