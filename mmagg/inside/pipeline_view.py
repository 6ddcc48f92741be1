"""A data set's images and annotations before, within and after its pipeline.

Shape shorthand: N objects, (H, W) size of the image at the end of the pipeline.
"""

from collections.abc import Callable
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.registry import DATASETS
from mmdet.structures.bbox import get_box_tensor
from mmengine.dataset import BaseDataset
from mmengine.runner import set_random_seed
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmagg.datasets.image_errors import NamingPipeline, name_images_in_errors
from mmagg.visualization.annotated import Annotated

LOADING = (LoadImageFromFile, LoadAnnotations)
META = ('img_path', 'ori_shape', 'scale_factor')
Packed = dict[str, Any]


class Fed(NamedTuple):
    """An image as the network gets it.

    Attributes:
        picture: image and annotations.
        path: the image's file.
        stored_size: (height, width) that it has there; None if the pipeline does not say.
    """

    picture: Annotated
    path: Path
    stored_size: tuple[int, int] | None


class PipelineView:
    """A data set, seen image by image.

    Args:
        dataset: config of a data set whose pipeline ends in `PackDetInputs`, or of a wrapper around some.
        seed: of random numbers. A picture depends on it, on the image and on the draw alone, unless a transform
            remembers images that it has seen (as `CachedMosaic` does).
    """

    def __init__(self, dataset: dict, *, seed: int) -> None:
        self.dataset, self.seed = DATASETS.build(dataset), seed
        self.classes = tuple(self.dataset.metainfo.get('classes', ()))
        name_images_in_errors(self.dataset)
        base = self.dataset
        while not isinstance(base, BaseDataset):
            base = base.dataset if hasattr(base, 'dataset') else base.datasets[0]
        steps = base.pipeline.transforms
        self.loading = [step for step in steps if isinstance(step, LOADING)]
        before = list(takewhile(lambda step: not isinstance(step, LoadAnnotations), steps))
        # mmdet's test pipelines load annotations after resizing: they have the size of the file.
        self.late = len(before) < len(steps) and not all(isinstance(step, LOADING) for step in before)

    def __len__(self) -> int:
        return len(self.dataset)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return Path(self.dataset.get_data_info(index)['img_path'])

    def some(self, number: int) -> list[int]:
        """Indices of `number` images, chosen at random, in order; all of them if there are not more."""
        chosen = np.random.default_rng(self.seed).permutation(len(self))[:number]
        return sorted(chosen.tolist())

    def find(self, name: str) -> int:
        """The index of an image, given the end of its path, such as the name of the file, or its id.

        Raises:
            LookupError: there is none, or the data set leaves it out.
        """
        parts = Path(name).parts
        for index in tqdm(range(len(self)), desc=f'looking for {name}', unit='image', delay=2, leave=False):
            info = self.dataset.get_data_info(index)
            if str(info.get('img_id')) == name or Path(info['img_path']).parts[-len(parts) :] == parts:
                return index
        raise LookupError(
            f'no image {name} among the {len(self)} of the data set; filter_cfg may leave it out, as it does images '
            'without objects'
        )

    def fed(self, index: int, draw: int = 0) -> Fed:
        """An image as the network gets it, or another one if the pipeline returns None for it.

        Each ``draw`` (0, 1, ...) of an image has its own random numbers.
        """
        set_random_seed(int(np.random.SeedSequence([self.seed, index, draw]).generate_state(1)[0]))
        packed = self.dataset[index]
        meta = packed['data_samples'].metainfo
        return Fed(self._annotated(packed), Path(meta.get('img_path', self.path(index))), meta.get('ori_shape'))

    def stored(self, index: int) -> Annotated:
        """An image as it is in its file.

        Raises:
            ValueError: the pipeline ignores that the file cannot be read.
        """
        load = NamingPipeline([*self.loading, PackDetInputs(META)])
        packed = load(deepcopy(self.dataset.get_data_info(index)))
        if packed is None:
            raise ValueError('LoadImageFromFile cannot read it, and ignores that')
        return self._annotated(packed)

    def stages(self, index: int) -> tuple[Path, list[tuple[str, Annotated]]]:
        """An image after each transform of the (outermost) pipeline that has annotations.

        Returns:
            The image's file, as of `fed`; and for each transform its name and its result.

        Raises:
            ValueError: the data set joins others and has no pipeline, or that one has no annotations.
        """
        pipeline = getattr(self.dataset, 'pipeline', None)
        if pipeline is None:
            raise ValueError(f'{type(self.dataset).__name__} has no pipeline of its own, so it has no stages to show')
        steps = getattr(pipeline, 'transforms', pipeline)
        seen: list[tuple[str, Annotated]] = []
        plain = [step.transform for step in steps]
        for step in steps:
            step.transform = self._watched(step, seen, first=step is steps[0])
        try:
            path = self.fed(index).path
        finally:
            for step, transform in zip(steps, plain, strict=True):
                step.transform = transform
        if not seen:
            raise ValueError('the pipeline loads no annotations, so it has no stages to show')
        return path, seen

    def _watched(self, step: Any, seen: list, *, first: bool) -> Callable[[dict], dict | None]:
        """The transform of a step, which then also appends its result to `seen`."""
        transform = step.transform

        def watched(results: dict) -> dict | None:
            if first:  # also of another image, after the pipeline returned None for one
                seen.clear()
            results = transform(results)
            if 'gt_bboxes' in (results or ()):
                seen.append((type(step).__name__, self._annotated(PackDetInputs(META)(results))))
            return results

        return watched

    def _annotated(self, packed: Packed) -> Annotated:
        """Image and annotations from the result of `PackDetInputs`; without annotations there are no objects."""
        image = np.ascontiguousarray(packed['inputs'].permute(1, 2, 0).numpy())
        image = np.clip(np.round(image), 0, 255).astype(np.uint8)  # PhotoMetricDistortion leaves floats
        sample = packed['data_samples']
        size = (image.shape[0], image.shape[1])
        scale = sample.metainfo.get('scale_factor') if self.late else None
        boxes, masks = _outlines(sample.gt_instances, size, scale)
        labels = sample.gt_instances.get('labels', np.zeros(0, int))
        ignored = _regions(*_outlines(sample.ignored_instances, size, scale), size)
        return Annotated(image, np.asarray(labels), boxes, masks, ignored)


def _outlines(
    objects: InstanceData, size: tuple[int, int], scale: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Boxes (N, 4) and masks (N, H, W) bool, None if there are none, in an image of `size` (H, W).

    `scale` (of width, of height) leads from the frame of the objects to that of the image; None: they are the same.
    """
    boxes = get_box_tensor(objects.bboxes).numpy() if 'bboxes' in objects else np.zeros((len(objects), 4))
    masks = objects.get('masks')
    if scale is not None:
        boxes = boxes * np.tile(scale, 2)
        if masks is not None:
            inner = [
                min(side, round(old * by))
                for side, old, by in zip(size, (masks.height, masks.width), scale[::-1], strict=True)
            ]
            masks = masks.resize(inner).pad(size)
    if masks is not None and (masks.height, masks.width) != size:
        raise ValueError(
            f'the pipeline changes images and masks differently: an image of {size[1]} x {size[0]} pixels with masks '
            f'of {masks.width} x {masks.height}'
        )
    return boxes, None if masks is None else masks.to_ndarray().astype(bool)


def _regions(boxes: np.ndarray, masks: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """The masks, or the boxes filled where there are none: (N, H, W) bool."""
    if masks is not None:
        return masks
    y, x = np.ogrid[: size[0], : size[1]]
    x1, y1, x2, y2 = boxes.T[..., None, None]
    return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
