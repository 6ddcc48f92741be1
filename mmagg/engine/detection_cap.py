"""The most detections that a model returns of an image: whether that is too few is said before and after a run."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmagg.models.detectors import MaskTTAModel

NAMES = ('max_per_img', 'max_per_image')  # mmdet has both
MERGED = inspect.signature(MaskTTAModel).parameters['max_per_img'].default  # of all views of an image


class DetectionCap(NamedTuple):
    """The most detections of an image.

    Attributes:
        limit: their number.
        key: what the config calls it.
        earlier: limits by their keys of what goes on to it, as proposals.
    """

    limit: int
    key: str
    earlier: Mapping[str, int]

    def raised(self, number: int | str) -> str:
        """The option that allows so many."""
        return f'--cfg-options {self.key}={number}'

    def reached(self, count: int, images: int, *, training: bool = False) -> str:
        """The line that says in how many images it was reached; a training has a flag that raises it."""
        way = '--max-detections N' if training else self.raised('N')
        return f'the cap of {self.limit} detections an image was reached in {count} of {images} images; {way} raises it'

    def too_low(self, counts: Sequence[int], *, training: bool = False) -> str | None:
        """The line about images with more objects, from the numbers of all images; None where there is none."""
        more = [count for count in counts if count > self.limit]
        if not more:
            return None
        keys = [self.key, *(key for key, limit in self.earlier.items() if limit < max(more))]
        options = ' '.join(f'{key}={max(more)}' for key in keys)
        way = f'--max-detections {max(more)}' if training else f'--cfg-options {options}'
        return (
            f'images with more objects than the {self.limit} detections that the model may return: {len(more)} of '
            f'{len(counts)}, up to {max(more)} objects; {way} raises that'
        )


def detection_cap(cfg: Mapping[str, Any]) -> DetectionCap | None:
    """The cap of a config's model, with test-time augmentation that of the merged views; None where it has none."""
    model = cfg['model']
    test_cfg = model.get('module', model).get('test_cfg') or {}
    places = {
        'model.test_cfg.rcnn': test_cfg.get('rcnn'),
        'model.test_cfg': test_cfg,
        'model.test_cfg.rpn': test_cfg.get('rpn'),  # proposals, which come first
    }
    if 'module' in model:  # as `mmagg.apis.tta` wraps a detector
        places = {'tta_model.tta_cfg': model.get('tta_cfg'), 'tta_model': {NAMES[0]: MERGED, **model}, **places}
    limits = {
        f'{place}.{name}': values[name]
        for place, values in places.items()
        for name in NAMES
        if values and (values.get(name) or 0) > 0  # mmdet's -1 is no limit
    }
    if not limits:
        return None
    key, *others = limits
    return DetectionCap(limits[key], key, {other: limits[other] for other in others})


class DetectionCapHook(Hook):
    """Says before a validation or test how many images hold more objects than the model may find in one, and after it
    how many had as many detections as that.

    Args:
        cap: of the tested model.
    """

    priority = 'LOWEST'  # the line comes after the scores

    def __init__(self, cap: DetectionCap) -> None:
        self.cap = cap
        self.told: set[str] = set()

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self.images = self.full = 0
        if mode == 'train' or mode in self.told:
            return
        self.told.add(mode)
        numbers = list(_numbers_of_objects(getattr(runner, f'{mode}_dataloader').dataset))
        if line := self.cap.too_low(numbers, training=mode == 'val'):
            runner.logger.warning(line)

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        if mode != 'train':
            counts = [len(sample.pred_instances) for sample in outputs or () if 'pred_instances' in sample]
            self.images += len(counts)
            self.full += sum(count >= self.cap.limit for count in counts)

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        if mode != 'train':
            full, images = _of_all_processes([self.full, self.images])
            if full:
                runner.logger.warning(self.cap.reached(full, images, training=mode == 'val'))


def _of_all_processes(counts: Sequence[int]) -> list[int]:
    sums = torch.tensor(counts)
    all_reduce(sums)
    return sums.tolist()


def _numbers_of_objects(dataset: Any) -> Iterator[int]:
    """The number of objects, without crowd regions, in each image of a data set that tells."""
    for i in range(len(dataset)) if hasattr(dataset, 'get_data_info') else ():
        yield sum(not one.get('ignore_flag') for one in dataset.get_data_info(i).get('instances') or ())
