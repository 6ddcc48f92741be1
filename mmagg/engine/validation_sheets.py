"""Pictures of a training's validations: truth beside prediction, the same images each time.

Shape shorthand: (H, W) image size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmagg.io.errors import one_line
from mmagg.io.images import read_image, write_image
from mmagg.io.run_folder import SHEETS
from mmagg.rle.codes import decode_mask, outline_to_rle
from mmagg.visualization.annotated import Annotated
from mmagg.visualization.contact_sheet import paired_sheet
from mmagg.visualization.overlay import draw_instances
from mmagg.visualization.predictions import confident

ROOM = 320, 420  # height and width of a picture, in pixels
COLUMNS = 2  # pairs in a row
Pair = tuple[np.ndarray, np.ndarray]


@HOOKS.register_module()
class ValidationSheetHook(Hook):
    """Writes a JPEG after each validation, `validation/epoch_<n>.jpg` in the work dir: truth beside prediction.

    `mmagg.apis.train` always has it; with `custom_hooks = [dict(type='ValidationSheetHook', images=0)]` there are none.
    Images are evenly spread over those that the main process validates. If a sheet fails, the log says so and the
    training goes on.

    Args:
        images: on a sheet; fewer where the validation has fewer batches, of which the first image is taken.
        score_thr: less certain predictions are not drawn.
    """

    priority = 'LOWEST'

    def __init__(self, *, images: int = 6, score_thr: float = 0.3) -> None:
        self.images, self.score_thr = images, score_thr
        self.pairs: list[Pair] = []
        self.truth: dict[Any, dict] = {}  # by image id
        self.failed = False

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the batches."""
        length = len(runner.val_dataloader)
        self.pairs = []
        self.batches = set(np.linspace(0, length - 1, min(self.images, length)).round().astype(int).tolist())

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Draw an image of a chosen batch."""
        if batch_idx not in self.batches or not outputs or self.failed or not is_main_process():
            return
        try:
            self.pairs.append(self._pair(outputs[0], runner.val_dataloader.dataset))
        except Exception as error:
            self._fail(runner, error)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the sheet."""
        if not self.pairs:
            return
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        name = f'epoch_{runner.epoch}.jpg' if by_epoch else f'iter_{runner.iter}.jpg'
        try:
            sheet = paired_sheet(self.pairs, ('truth', 'prediction'), COLUMNS)
            write_image(sheet, Path(runner.work_dir) / SHEETS / name)
        except Exception as error:
            self._fail(runner, error)
        self.pairs = []

    def _fail(self, runner: Runner, error: Exception) -> None:
        self.failed, self.pairs = True, []
        runner.logger.warning(f'no pictures of validations: {one_line(error)}')

    def _pair(self, sample: Any, dataset: Any) -> Pair:
        """The pictures of an image's truth and of its predictions."""
        classes = dataset.metainfo.get('classes', ())
        if sample.img_id not in self.truth:
            self.truth[sample.img_id] = _information(dataset, sample.img_id)
        image = read_image(Path(sample.img_path))
        truth = _small(image, self.truth[sample.img_id].get('instances') or ())
        sure = confident(sample.pred_instances, self.score_thr).to('cpu')
        masks = sure.get('masks')
        found = [
            {'bbox': box, 'bbox_label': label, 'mask': None if masks is None else masks[place]}
            for place, (box, label) in enumerate(zip(sure.bboxes.tolist(), sure.labels.tolist(), strict=True))
        ]
        small = _small(image, found)
        picture = draw_instances(small.image, small.masks, small.labels, sure.scores, small.boxes, classes)
        return truth.drawn(classes), picture


def _small(image: np.ndarray, instances: Sequence[dict]) -> Annotated:
    """An image, (H, W, 3), and instances in the form of mmdet's data sets, shrunk to fit into `ROOM`."""
    height, width = image.shape[:2]
    canvas = Annotated(image, np.zeros(0, int), np.zeros((0, 4)), None, np.zeros((0, height, width), bool)).fitted(
        *ROOM
    )
    new = canvas.image.shape[:2]
    rows, columns = (np.arange(n) * before // n for n, before in zip(new, (height, width), strict=True))

    def stacked(group: Sequence[dict]) -> np.ndarray:  # one after the other: large images have large masks
        outlines = [one['mask'] for one in group]
        whole = (outline_to_rle(mask, height, width) if isinstance(mask, list) else mask for mask in outlines)
        return np.array([decode_mask(mask)[rows[:, None], columns] for mask in whole], bool).reshape(-1, *new)

    objects = [one for one in instances if not one.get('ignore_flag')]
    masked = all(one.get('mask') is not None for one in objects)
    scale = np.array([new[1] / width, new[0] / height] * 2)
    return Annotated(
        image=canvas.image,
        labels=np.array([one['bbox_label'] for one in objects], int),
        boxes=np.array([one['bbox'] for one in objects], float).reshape(-1, 4) * scale,
        masks=stacked(objects) if masked else None,
        ignored=stacked([one for one in instances if one.get('ignore_flag') and one.get('mask')]),
    )


def _information(dataset: Any, image_id: Any) -> dict:
    """What a data set knows of an image."""
    every = (dataset.get_data_info(i) for i in range(len(dataset)))
    return next(one for one in every if one['img_id'] == image_id)
