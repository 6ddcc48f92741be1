"""``--coco DIR``: a config is pointed to a folder in COCO format, and the data are checked before training."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from tqdm import tqdm

from mmagg.apis.launch import is_main
from mmagg.datasets.coco_check import check_coco, report
from mmagg.datasets.coco_folder import annotation_file, coco_folder_options, image_folder, unwrapped
from mmagg.datasets.pipeline_needs import pipeline_needs
from mmagg.io.errors import InputError

SPLITS = ('train', 'val')
COCO_PLACES = annotation_file, image_folder


def use_coco_folder(cfg: Config, folder: str | Path) -> None:
    """Let a config read images, classes and their number from ``folder``; it is changed in place.

    Raises:
        InputError: the folder is missing, or an annotation file is not COCO format.
        FileNotFoundError: a file of the folder is missing.
        ValueError: the splits list other classes, or the config has no place for them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f'--coco {folder}: no such folder')
    coco_folder_options(cfg, folder)


def data_files(cfg: Any = None, coco: str | Path | None = None) -> list[Path]:
    """The annotation files and image folders that a config names, and those of a folder in COCO format, there or not.

    Args:
        cfg: a config or a part of one; None for none.
        coco: the folder.
    """
    of_coco = [] if coco is None else [place(Path(coco), split) for split in SPLITS for place in COCO_PLACES]
    return [*_named(cfg), *of_coco]


def check_annotations(cfg: Config, launcher: str) -> None:
    """Check the data that the config trains and validates on, and print every finding.

    The main process alone does it. The others wait in `mmagg.apis.launch.start_processes`, or end with it.

    Raises:
        InputError: something fatal was found.
    """
    if not is_main(launcher):
        return
    check_semantic_maps(cfg)
    findings = []
    for annotations, images, needs in _sources(cfg):
        found = check_coco(annotations, images, **needs)
        if found:
            tqdm.write(f'{annotations}:\n{report(found)}', file=sys.stderr)
        findings += found
    fatal = sum(finding.severity == 'fatal' for finding in findings)
    if fatal:
        raise InputError(
            f'{fatal} fatal problem(s) in the data, see above; fix them, or train anyway with --skip-check'
        )


def check_semantic_maps(cfg: Config) -> None:
    """Refuse a training that loads semantic maps, as HTC's semantic branch needs them, from data that have none."""
    dataset = unwrapped((cfg.get('train_dataloader') or {}).get('dataset') or {})
    wanted = any(step.get('with_seg') for step in dataset.get('pipeline') or [])
    if wanted and not (dataset.get('data_prefix') or {}).get('seg'):
        raise InputError(
            'the training pipeline loads semantic maps (with_seg=True), but the data have none; take a config without '
            'a semantic branch, such as configs/a2fpn/htc-without-semantic_r50_a2fpn_20e_coco.py'
        )


def _named(part: Any) -> Iterator[Path]:
    """Annotation files and image folders of a config's part, and of all that is inside it."""
    if isinstance(part, Config | dict):
        prefix = part.get('data_prefix')
        names = [part.get('ann_file'), *(prefix.values() if isinstance(prefix, dict) else ())]
        yield from (Path(part.get('data_root') or '', name) for name in names if isinstance(name, str))
        part = list(part.values())
    for inner in part if isinstance(part, list | tuple) else ():
        yield from _named(inner)


def _sources(cfg: Config) -> list[tuple[Path, Path, dict]]:
    """(annotation file, image folder, what the pipeline needs) of the training and the validation set, each once."""
    sources = {}
    for split in SPLITS:
        whole = (cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}
        if dataset := unwrapped(whole):
            root = Path(dataset.get('data_root') or '')
            files = root / dataset['ann_file'], root / dataset['data_prefix']['img']
            sources.setdefault(files, pipeline_needs(whole))
    return [(*files, needs) for files, needs in sources.items()]
