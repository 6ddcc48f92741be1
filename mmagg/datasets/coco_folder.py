"""An mmdet config pointed to a folder in COCO format.

The folder holds `annotations/instances_{train,val}.json` and `images/{train,val}`; without a validation split
the training split stands in for it.

Labels: `CocoDataset` and `CocoMetric` number the categories in the order in which the JSON lists them,
whatever their ids are. So `classes` is that list, and both splits must list the same names in the same order.
"""

import colorsys
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmagg.datasets.annotation_exports import export_files, split_command
from mmagg.datasets.class_names import SHOWN, meant_names
from mmagg.datasets.coco_file import check_keys, check_text, read_coco
from mmagg.datasets.config_parts import dicts, type_name
from mmagg.datasets.pipeline_needs import pipeline_needs
from mmagg.io.errors import InputError
from mmagg.io.files import require_file

STAGES = ('train', 'val', 'test')
# Parts of a model whose `num_classes` is not the number of object classes: an RPN tells objects from
# background, HTC's semantic head knows stuff classes, a backbone may carry a classifier.
OTHER_CLASSES = ('backbone', 'rpn_head', 'semantic_head')


def annotation_file(folder: Path, split: str) -> Path:
    """The annotation file of a split, 'train' or 'val'."""
    return Path(folder) / 'annotations' / f'instances_{split}.json'


def image_folder(folder: Path, split: str) -> Path:
    """The image folder of a split, 'train' or 'val'."""
    return Path(folder) / 'images' / split


def check_is_folder(path: Path) -> None:
    """Refuse what `--coco` names if it is no folder.

    Raises:
        InputError: it is not; of a file, the message says which folder to name, or what makes one of it.
    """
    if path.is_dir():
        return
    if not path.is_file():
        raise InputError(f'--coco {path}: no such folder')
    folder = folder_of(path)
    way = f'{split_command(path)} makes a folder of it' if folder is None else f'name its folder, {folder}'
    raise InputError(f'--coco {path}: a file; {way}')


def folder_of(file: Path) -> Path | None:
    """The COCO-format folder whose annotation file this is; None where it is of no such folder."""
    folder = file.absolute().parent.parent
    ours = file.absolute() in (annotation_file(folder, split) for split in ('train', 'val'))
    return folder if ours else None


def instead(folder: Path) -> str:
    """What may have been meant by a folder that lacks a file: the one above, or what is made of an export; or ''."""
    above = folder.absolute().parent
    if any(annotation_file(above, split).exists() for split in ('train', 'val')):
        return f'; did you mean {above}?'
    found = export_files(folder)
    return f"; {split_command(folder)} makes one of a tool's export, as {found[0]} seems to be" if found else ''


def splits(folder: Path, stages: Collection[str] = STAGES) -> dict[str, str]:
    """The split that each stage reads, e.g. {'train': 'train', 'val': 'val' or 'train', …}.

    Args:
        folder: the COCO-format folder.
        stages: of `STAGES`; splits of others need not be there.

    Raises:
        InputError: a file or folder is missing; the message names it, the layout, and what was meant.
    """
    folder = Path(folder)
    held_out = next((split for split in ('val', 'train') if annotation_file(folder, split).exists()), 'val')
    used = {stage: 'train' if stage == 'train' else held_out for stage in stages}
    for split in sorted(set(used.values())):
        for path in (annotation_file(folder, split), image_folder(folder, split)):
            if not path.exists():
                raise InputError(
                    f'{path} is missing; a COCO-format folder holds annotations/instances_train.json, '
                    f'images/train and, for validation, annotations/instances_val.json, images/val{instead(folder)}'
                )
        require_file(annotation_file(folder, split), 'annotations')
    return used


def class_names(ann_file: Path) -> list[str]:
    """The category names of a COCO-format JSON, in the order of mmdet's labels.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not JSON, has no categories, a name is no text, or a name or an id is listed twice.
    """
    categories = read_coco(ann_file, needed=('categories',), filled=('categories',)).categories
    check_keys(ann_file, 'category', categories, 'name', 'id')
    for place, category in enumerate(categories):
        check_text(ann_file, 'category', place, 'name', category['name'])
    names, ids = ([category[key] for category in categories] for key in ('name', 'id'))
    for what, values in (('name', names), ('id', ids)):
        for value in values:
            if values.count(value) > 1:
                raise InputError(f'{ann_file} lists the category {what} {value!r} twice; make it unique')
    return names


def coco_folder_options(cfg: Config, folder: Path, stages: Collection[str] = STAGES) -> None:
    """Point the data loaders, evaluators and heads of a loaded config to a COCO-format folder, in place.

    Sets `data_root`, `ann_file`, `data_prefix` and `metainfo` of every `CocoDataset` (wrapped or not), `ann_file` of
    the evaluators, which are to score boxes alone where there is nothing else, and `num_classes` of all parts of the
    model that tell object classes apart; masks that mmdet would load as polygons are loaded so from run-length codes,
    too, which it drops. The rest of the config stays, `filter_cfg` included. Tests use the validation images.

    Args:
        cfg: config with the usual `*_dataloader`, `*_evaluator` and `model`; those it lacks are left out.
        folder: the COCO-format folder.
        stages: whose data are needed; the others' stay as they are.

    Raises:
        ValueError: a JSON is broken, the splits list other classes, the config's data set is not a `CocoDataset`, or
            its model has no `num_classes`.
    """
    folder = Path(folder)
    used = splits(folder, stages)
    names = {split: class_names(annotation_file(folder, split)) for split in dict.fromkeys(used.values())}
    classes = next(iter(names.values()))
    if any(other != classes for other in names.values()):
        reason = _difference(names['train'], names['val']) or 'the order differs'
        raise InputError(
            f'{annotation_file(folder, "val")} must list the categories of instances_train.json, '
            f'in the same order: {reason}'
        )
    warn_of_training_images(folder, used)

    boxes_alone = set()
    metainfo = {'classes': tuple(classes), 'palette': palette(len(classes))}
    for stage, split in used.items():
        if loader := cfg.get(f'{stage}_dataloader'):
            dataset = _coco_dataset(loader['dataset'], f'{stage}_dataloader')
            dataset['data_root'] = str(folder)
            dataset['ann_file'] = str(annotation_file(folder, split).relative_to(folder))
            dataset['data_prefix'] = {'img': f'{image_folder(folder, split).relative_to(folder)}/'}
            dataset['metainfo'] = metainfo
        for _, metric in dicts(cfg.get(f'{stage}_evaluator')):
            if 'ann_file' in metric:
                metric['ann_file'] = str(annotation_file(folder, split))
                if loader and leave_out_masks(metric, loader['dataset']):
                    boxes_alone.add(metric['ann_file'])
    keep_run_length_codes([cfg.get(key) for key in (*(f'{stage}_dataloader' for stage in used), 'custom_hooks')])
    for path in sorted(boxes_alone):
        what = 'its annotations are boxes alone: box AP is measured, mask AP is not'
        print_log(f'{path}: {what}', logger='current', level=logging.WARNING)

    heads = list(with_num_classes(cfg.get('model') or {}))
    if cfg.get('model') and not heads:
        raise ValueError(f'no part of the model has num_classes; set it, the data set has {len(classes)} classes')
    for _, head in heads:
        head['num_classes'] = len(classes)


def keep_run_length_codes(part: Any) -> None:
    """Let pipelines in a part of a config that load masks as polygons trace those of run-length codes, in place.

    mmdet's step drops them, and all objects of a data set that has nothing else.
    """
    for _, step in dicts(part):
        if type_name(step) == 'LoadAnnotations' and step.get('with_mask') and not step.get('poly2mask', True):
            step['type'] = 'LoadPolygonAnnotations'
            for key in ('with_bbox', 'with_mask', 'poly2mask'):
                step.pop(key, None)


def leave_out_masks(metric: dict, dataset: dict) -> bool:
    """Score boxes alone where a config loads no masks and no annotation has one.

    Args:
        metric: its config, changed in place; of others than `COCOInstanceMetric` nothing is known here.
        dataset: the config of the data that it scores.

    Returns:
        whether masks were among what it measures.
    """
    kinds = metric.get('metric', ('bbox', 'segm'))
    if type_name(metric) != 'COCOInstanceMetric' or kinds in ('bbox', ['bbox']) or pipeline_needs(dataset)['masks']:
        return False
    annotations = read_coco(metric['ann_file']).annotations
    if not annotations or any(isinstance(one, dict) and one.get('segmentation') for one in annotations):
        return False
    metric['metric'] = ['bbox']
    return True


def warn_of_training_images(folder: Path, used: dict[str, str]) -> None:
    """Say where the training images stand in for others; ``used`` is of `splits`."""
    if 'train' in (used.get('val'), used.get('test')):
        print_log(
            f'{annotation_file(folder, "val")} is missing: {"validation" if "val" in used else "testing"} uses the '
            'training images, its figures say nothing about new images',
            logger='current',
            level=logging.WARNING,
        )


def _difference(train: Sequence[str], val: Sequence[str]) -> str:
    """Which file has which names alone; '' if there are none."""
    ours, theirs = ([name for name in one if name not in other] for one, other in ((train, val), (val, train)))
    parts = [
        f'only instances_{split}.json has {", ".join(alone[:SHOWN])}'
        for split, alone in (('train', ours), ('val', theirs))
        if alone
    ]
    return ', '.join(parts) + meant_names(theirs, ours)


def palette(count: int) -> list[tuple[int, int, int]]:
    """`count` RGB colours; neighbours differ most, as hues go round by the golden ratio."""
    colours = (colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.85, (1.0, 0.75)[i % 2]) for i in range(count))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colours]


def unwrapped(dataset: dict) -> dict:
    """The config of the data set inside wrappers such as RepeatDataset or MultiImageMixDataset."""
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def _coco_dataset(dataset: dict, where: str) -> dict:
    dataset = unwrapped(dataset)
    if (name := type_name(dataset)) != 'CocoDataset':
        raise ValueError(f'{where} of the config reads a {name}; a COCO-format folder needs a CocoDataset')
    return dataset


def with_num_classes(model: dict) -> Iterator[tuple[str, dict]]:
    """All dicts of a model config with a `num_classes` that counts object classes, each with its dotted key."""
    for key, part in dicts(model, 'model'):
        if isinstance(part.get('num_classes'), int) and not set(key.split('.')) & set(OTHER_CLASSES):
            yield key, part
