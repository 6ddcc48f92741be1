"""The steps of a demo: train a model, evaluate it, draw its predictions."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.models.detectors import BaseDetector
from mmengine.config import Config
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.apis.data import use_coco_folder
from mmagg.apis.inference import infer
from mmagg.apis.testing import test
from mmagg.apis.training import train
from mmagg.apis.work_dir import latest_checkpoint
from mmagg.datasets.coco_file import CocoFile, read_coco
from mmagg.datasets.coco_folder import annotation_file
from mmagg.demo.brief_log import BriefLog
from mmagg.inside.show_representations import show_representations
from mmagg.io.errors import InputError
from mmagg.io.images import read_image, write_image
from mmagg.models.heads import GridMaskHead
from mmagg.rle.codes import decode_mask
from mmagg.visualization.contact_sheet import enlarge, enlarge_image, paired_sheet
from mmagg.visualization.overlay import draw_instances
from mmagg.visualization.predictions import confident

SHOWN, COLUMNS = 12, 3  # held-out images on the sheet, in so many columns of pairs
SHOWN_SIDE = 320  # pixels; smaller images are enlarged to about this side, so that labels do not cover them
FONT = 16  # pixels; the sheet is shown at about half its size
SCORE_THR = 0.3


@dataclass(frozen=True)
class Trial:
    """A config that is trained and evaluated on a demo's scenes.

    Attributes:
        config: the config file.
        options: changes to it, dotted keys.
        shapes: the scenes, a folder in COCO format.
        folder: gets the folders ``train`` and ``test``.
        seed: of the training.
    """

    config: Path
    options: Mapping[str, Any]
    shapes: Path
    folder: Path
    seed: int

    @cached_property
    def cfg(self) -> Config:
        """The config with its changes."""
        return load_config(self.config, dict(self.options))

    @property
    def trained_config(self) -> Path:
        """The config as it was trained, classes and paths of the scenes included."""
        return self.folder / 'train' / self.config.name

    @property
    def started(self) -> bool:
        """Whether there is a whole checkpoint to go on from."""
        try:
            return self.checkpoint.is_file()
        except InputError:
            return False

    @property
    def checkpoint(self) -> Path:
        """The last whole one; an `InputError` without any."""
        if (found := latest_checkpoint(self.folder / 'train')) is None:
            raise InputError(f'{self.folder / "train"}: training has left no checkpoint; let the config write one')
        return found

    @property
    def metrics(self) -> dict[str, float]:
        """mmdet's COCO metrics, fractions, as `evaluate` measured them."""
        return json.loads((self.folder / 'test' / 'metrics.json').read_text(encoding='utf-8'))

    @property
    def budget(self) -> dict[str, Any]:
        """Conditions, by name, that two trained models must share for a fair comparison."""
        cfg = load_config(self.config, dict(self.options), changes=[partial(use_coco_folder, folder=self.shapes)])
        return {
            'epochs': cfg.train_cfg.get('max_epochs'),
            'iterations': cfg.train_cfg.get('max_iters'),
            'batch size': cfg.train_dataloader.get('batch_size'),
            'resizing or augmentation of the scenes': (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset),
        }

    def train(self, *, resume: bool) -> None:
        """Train, from the last checkpoint or from scratch."""
        with redirect_stdout(BriefLog(sys.stdout)):
            train(
                self.config,
                seed=self.seed,
                resume=resume,
                overwrite=not resume,
                cfg_options=dict(self.options),
                **self._common('train'),
            )

    def evaluate(self) -> None:
        """Test; leaves test/metrics.json and report/report.html."""
        with redirect_stdout(BriefLog(sys.stdout)):
            test(self.trained_config, self.checkpoint, report=self.folder / 'report', **self._common('test'))

    def _common(self, name: str) -> dict[str, Any]:
        """Arguments that training and testing share; ``name`` is the work dir's."""
        return {'coco': self.shapes, 'work_dir': self.folder / name}


def draw_overlays(model: BaseDetector, out: Path) -> None:
    """Write overlays.png: truth and prediction of held-out images, evenly spread."""
    classes, truth = model.dataset_meta['classes'], _held_out(out)
    names = {category['id']: category['name'] for category in truth.categories}
    count = min(SHOWN, len(truth.images))
    chosen = np.linspace(0, len(truth.images) - 1, count).round().astype(int)
    pairs = []
    for index in tqdm(chosen, desc='overlays', unit='image'):
        record = truth.images[index]
        image = read_image(_path(out, record))
        objects = [a for a in truth.annotations if a['image_id'] == record['id']]
        labels = np.array([classes.index(names[a['category_id']]) for a in objects], int)
        found = confident(infer(model, [image])[0].pred_instances, SCORE_THR)
        pairs.append(
            (
                _overlay(image, [a['segmentation'] for a in objects], labels, None, classes),
                _overlay(image, found.masks, found.labels, found.scores, classes),
            )
        )
    sheet = paired_sheet(pairs, ('ground truth', f'prediction (score from {SCORE_THR})'), COLUMNS)
    write_image(sheet, out / 'overlays.png')


def draw_representations(model: BaseDetector, trial: Trial, out: Path) -> str | None:
    """Write representations.png: what masks are made of, in the first held-out image with a confident prediction.

    Returns:
        Why there is no picture; None if there is one.
    """
    if sum(isinstance(module, GridMaskHead) for module in model.modules()) != 1:
        return 'its head is not a GridMaskHead'
    for record in tqdm(_held_out(out).images, desc='representations', unit='image', leave=False):
        image = _path(out, record)
        if len(confident(infer(model, [image])[0].pred_instances, SCORE_THR)):
            break
    else:
        return f'it found nothing in the held-out scenes with a score from {SCORE_THR}'
    show_representations(
        trial.trained_config, trial.checkpoint, image, out=out / 'representations.png', score_thr=SCORE_THR
    )
    return None


def _held_out(out: Path) -> CocoFile:
    """The annotations of the held-out scenes."""
    return read_coco(annotation_file(out / 'shapes', 'val'))


def _path(out: Path, record: dict) -> Path:
    return out / 'shapes/images/val' / record['file_name']


def _overlay(
    image: np.ndarray, masks: Sequence, labels: np.ndarray | Tensor, scores: Tensor | None, classes: Sequence[str]
) -> np.ndarray:
    """`draw_instances`, with small images enlarged first."""
    factor = max(1, round(SHOWN_SIDE / max(image.shape[:2])))
    enlarged = np.array([enlarge(decode_mask(mask), factor) for mask in masks])
    return draw_instances(enlarge_image(image, factor), enlarged, labels, scores, None, classes, font=FONT)
