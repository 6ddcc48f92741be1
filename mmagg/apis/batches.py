"""Images through a config's test pipeline and a model, several at once, with the results of one by one.

The images of a batch go through the model together where they are padded to the same size, in groups. In a larger
frame than its own, an image would have other results: the grid of SOLO's cells spans the padded image.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmagg.apis.image_sources import ImageSource
from mmagg.apis.tta import detector_of
from mmagg.datasets.image_errors import FAILURES, unusable
from mmagg.engine.first_step import running
from mmagg.io.errors import InputError

Prepared = dict[str, Any] | InputError
"""Of the pipeline: `inputs`, a uint8 tensor (3, h, w) or one for each view, and `data_samples`; or what went wrong."""


def array_pipeline(cfg: Config) -> Compose:
    """The test pipeline of a config, for images in memory."""
    steps = deepcopy(get_test_pipeline_cfg(cfg))
    steps[0].type = 'mmdet.LoadImageFromNDArray'
    return Compose(steps)


class Preparation(Dataset):
    """Reads an image and sends it through the pipeline; what goes wrong is returned, so that others go on.

    Args:
        pipeline: of `array_pipeline`.
    """

    def __init__(self, pipeline: Compose) -> None:
        self.pipeline = pipeline

    def __getitem__(self, image: ImageSource) -> Prepared:
        try:
            pixels = image.read()
        except InputError as error:
            return error
        try:
            return self.pipeline({'img': pixels, 'img_id': 0})
        except FAILURES as error:
            return InputError(f'{image}: {unusable(error, pixels.shape[:2])}')


def prepared_batches(
    images: Iterable[ImageSource], pipeline: Compose, *, batch_size: int, workers: int = 0
) -> Iterator[list[tuple[ImageSource, Prepared]]]:
    """Batches of images that have been through the pipeline, in order.

    Args:
        images: asked for when their batch is due; with workers up to two batches for each of them before.
        pipeline: of `array_pipeline`.
        batch_size: images in a batch; the last one may have fewer.
        workers: processes that read and prepare; 0: this one.
    """
    due: deque[ImageSource] = deque()  # those that loaders have been asked for; order is kept

    def asked() -> Iterator[ImageSource]:
        for image in images:
            due.append(image)
            yield image

    sampler: Any = _Asked(asked())  # what a data set is indexed with may be anything
    loader = DataLoader(
        Preparation(pipeline), batch_size=batch_size, sampler=sampler, num_workers=workers, collate_fn=list
    )
    for batch in loader:
        yield [(due.popleft(), prepared) for prepared in batch]


class _Asked:
    """An iterator in the place of a sampler."""

    def __init__(self, images: Iterator[ImageSource]) -> None:
        self.images = images

    def __iter__(self) -> Iterator[ImageSource]:
        return self.images


def predict_prepared(model: BaseModel, batch: Sequence[dict[str, Any]], *, half: bool = False) -> list[DetDataSample]:
    """Predict images together where that does not change their results: those that are padded to the same size.

    Args:
        model: a detector, or one with test-time augmentation.
        batch: of the pipeline.
        half: compute in float16 on a GPU, in bfloat16 on the CPU, where autocast allows.

    Raises:
        ModelError: the model does not run.
    """
    detector = detector_of(model)
    divisor = getattr(detector.data_preprocessor, 'pad_size_divisor', 1)
    groups: dict[tuple, list[int]] = {}
    for i, data in enumerate(batch):
        groups.setdefault(_padded_size(data['inputs'], divisor), []).append(i)
    samples: dict[int, DetDataSample] = {}
    device = next(detector.parameters()).device.type
    precision: AbstractContextManager = nullcontext()
    if half:
        precision = torch.autocast(device, torch.bfloat16 if device == 'cpu' else torch.float16)
    for places in groups.values():
        with running(model), torch.no_grad(), precision:
            found = model.test_step(pseudo_collate([batch[i] for i in places]))
        samples.update(zip(places, found, strict=True))
    return [samples[i] for i in range(len(batch))]


def _padded_size(inputs: Tensor | Sequence[Tensor], divisor: int) -> tuple[int, ...]:
    """The sizes of all views of an image after padding."""
    views = [inputs] if isinstance(inputs, Tensor) else inputs
    return tuple(-(-side // divisor) * divisor for view in views for side in view.shape[-2:])
