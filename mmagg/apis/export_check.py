"""An exported model beside the detector that it was made of: the same images through both, in each runtime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from tqdm import tqdm

from mmagg.apis.image_sources import ImageSource
from mmagg.apis.inference import infer
from mmagg.apis.result import Result
from mmagg.export.parity import IOU, LEAP, SCORE, SHARE, Parity, parity
from mmagg.io.errors import InputError, named_by
from mmagg.runtime.description import Description
from mmagg.runtime.exported_model import ExportedModel
from mmagg.runtime.found import Found
from mmagg.runtime.preprocessing import prepared
from mmagg.runtime.sessions import RUNTIMES

MOST = 50  # images that are predicted


@dataclass(frozen=True)
class Checked:
    """An exported model in a runtime, compared with its detector.

    Attributes:
        runtime: 'onnxruntime' or 'openvino'.
        parity: of the results.
        seconds: that an image takes from its pixels to its instances, in PyTorch and in the runtime; the median.
    """

    runtime: str
    parity: Parity
    seconds: tuple[float, float]

    def __str__(self) -> str:
        before, after = (1000 * x for x in self.seconds)
        return f'{self.runtime}: {self.parity}; an image takes {after:.0f} ms, in PyTorch {before:.0f} ms'


def installed_runtimes() -> list[str]:
    """Those that a check runs.

    Raises:
        InputError: there is none.
    """
    if found := [name for name in RUNTIMES if find_spec(name) is not None]:
        return found
    raise InputError('--check: no runtime is installed: pip install onnxruntime')


def compared(model: Any, file: Path, images: Sequence[ImageSource]) -> tuple[Checked, ...]:
    """Predict images with a detector and with the file that it was exported to.

    Args:
        model: of `load_model`, on the CPU.
        file: that was exported.
        images: one after the other; of each the results are kept, not the pixels.

    Raises:
        InputError: an image or the file cannot be used.
    """
    exported = [ExportedModel(file, runtime=runtime) for runtime in installed_runtimes()]
    description = exported[0].description
    results: list[list[Found]] = [[] for _ in range(1 + len(exported))]
    times: list[list[float]] = [[] for _ in results]

    def take(place: int, predict: Callable[[], Found]) -> None:
        start = perf_counter()
        results[place].append(predict())
        times[place].append(perf_counter() - start)

    for image in tqdm(images, 'check', unit='image', delay=2, leave=False):
        try:
            pixels = image.read()
            take(0, lambda pixels=pixels: in_torch(model, pixels, description))  # type: ignore[misc]
            for place, one in enumerate(exported, 1):
                take(place, lambda one=one, pixels=pixels: one([pixels])[0])  # type: ignore[misc]
        except InputError as error:
            raise named_by(error, str(image)) from error
    return tuple(
        Checked(one.runtime, parity(results[0], found), (median(times[0]), median(took)))
        for one, found, took in zip(exported, results[1:], times[1:], strict=True)
    )


def require_close(checks: Sequence[Checked], out: Path) -> None:
    """Refuse a file whose results differ from its detector's by more than rounding.

    Raises:
        InputError: says by how much.
    """
    for one in checks:
        if not one.parity.close:
            raise InputError(
                f'{out}: not written, its results are not those of PyTorch: {one.runtime}: {one.parity}; float32 may '
                f'have |Δscore| ≤ {SCORE:g} and IoU ≥ {IOU:g}, but for single pixels, whose probability is the '
                f'threshold to rounding: {SHARE:.0%} of the scores may leap by {LEAP:g}; without --check it is written '
                'as it is'
            )


def in_torch(model: Any, pixels: np.ndarray, description: Description) -> Found:
    """What a detector finds in an image, prepared as the exported model's is.

    Args:
        model: of `load_model`.
        pixels: (H, W, 3) uint8 BGR.
        description: of the exported model: one with a fixed shape has images that the test pipeline does not make.

    Raises:
        InputError: the image cannot be used.
    """
    if description.shape is None:
        (sample,) = infer(model, [pixels])
    else:
        image = prepared(pixels, description)
        (height, width), (h, w) = image.size, image.img_shape
        sample = DetDataSample(
            metainfo=dict(
                img_id=0, ori_shape=image.size, img_shape=image.img_shape, scale_factor=(w / width, h / height)
            )
        )
        planes = torch.from_numpy(np.ascontiguousarray(image.pixels.transpose(2, 0, 1)))
        with torch.no_grad():
            (sample,) = model.test_step(dict(inputs=[planes], data_samples=[sample]))
    size = pixels.shape[0], pixels.shape[1]
    result = Result.of(sample.pred_instances, size, model.dataset_meta['classes'])
    return Found(size, result.boxes, result.scores, result.labels, result.rles)
