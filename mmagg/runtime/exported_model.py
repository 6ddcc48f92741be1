"""An exported model as one callable: images in, instances out.

Shape shorthand: B images, N candidates of each, (h, w) pixels of the model's input.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmagg.io.errors import InputError
from mmagg.runtime.boxed_post_processor import BoxedPostProcessor
from mmagg.runtime.description import AGAIN, described
from mmagg.runtime.found import Found
from mmagg.runtime.onnx_file import onnx_metadata
from mmagg.runtime.preprocessing import Prepared, prepared
from mmagg.runtime.sessions import open_session

OUTPUTS = {'grid': {'scores', 'labels', 'min_areas', 'masks'}, 'boxed': {'boxes', 'scores', 'labels'}}


class ExportedModel:
    """A model of a file that `mmagg export` has written.

        model = ExportedModel('model.onnx')
        (found,) = model([cv2.imread('street.jpg')])

    Args:
        path: the file.
        runtime: 'onnxruntime' or 'openvino'; by default the first that is installed.
        threads: number of them; by default one for each core.

    Attributes:
        description: of the model.
        session: what runs the network.
        runtime: which one it is.

    Raises:
        InputError: the file cannot be used, or there is no runtime.
    """

    def __init__(self, path: str | Path, *, runtime: str | None = None, threads: int | None = None) -> None:
        path = Path(path)
        self.description = described(onnx_metadata(path), path)
        self.session = open_session(path, runtime=runtime, threads=threads)
        self.runtime = self.session.runtime
        self._post_process = self.description.post_process
        if missing := OUTPUTS[self.description.family].difference(self.session.outputs):
            raise InputError(f'{path}: the model has no output {", ".join(sorted(missing))}: {AGAIN} anew')

    @property
    def has_masks(self) -> bool:
        """Whether it finds masks, not boxes alone."""
        return 'masks' in self.session.outputs

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by label."""
        return self.description.classes

    def __call__(self, images: Sequence[np.ndarray]) -> list[Found]:
        """The instances of images.

        Args:
            images: (H, W, 3) uint8 BGR each; those that are resized to one size go through the model at once.

        Raises:
            InputError: one is no image, or too narrow; ``image_0`` is the first one.
        """
        ready = []
        for i, image in enumerate(images):
            try:
                ready.append(self.prepare(image))
            except InputError as error:
                raise InputError(f'image_{i}: {str(error).removeprefix("image: ")}') from error
        return self.predict(ready)

    def prepare(self, image: np.ndarray) -> Prepared:
        """An image, resized and padded as the model takes it.

        Raises:
            InputError: it is no image, or too narrow.
        """
        return prepared(image, self.description)

    def predict(self, images: Sequence[Prepared]) -> list[Found]:
        """The instances of images of `prepare`."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            groups.setdefault(image.pixels.shape, []).append(i)
        found: dict[int, Found] = {}
        for members in groups.values():
            step = self.session.batch or len(members)
            for start in range(0, len(members), step):
                some = members[start : start + step]
                found.update(zip(some, self._run([images[i] for i in some]), strict=True))
        return [found[i] for i in range(len(images))]

    def _run(self, images: Sequence[Prepared]) -> list[Found]:
        """The instances of images of one size."""
        batch = np.stack([image.pixels.transpose(2, 0, 1) for image in images])
        sizes = np.array([image.img_shape for image in images], np.int64)
        if missing := (self.session.batch or len(images)) - len(images):  # of a file for several images
            batch, sizes = (np.concatenate([x, x[-1:].repeat(missing, axis=0)]) for x in (batch, sizes))
        outputs = self.session.run(batch.astype(self.session.dtype, copy=False), sizes)
        return [self._finished(image, {name: x[i] for name, x in outputs.items()}) for i, image in enumerate(images)]

    def _finished(self, image: Prepared, outputs: dict[str, np.ndarray]) -> Found:
        """The instances of an image from its candidates."""
        labels = outputs['labels']
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise InputError(f'the model finds a class beyond its {len(self.classes)} names: {AGAIN} anew')
        scores, masks = np.asarray(outputs['scores'], np.float32), outputs.get('masks')
        masks = None if masks is None else np.asarray(masks, np.float32)
        if isinstance(self._post_process, BoxedPostProcessor):
            return self._post_process(
                outputs['boxes'], scores, labels, masks, img_shape=image.img_shape, out_size=image.size
            )
        assert masks is not None
        height, width = (side * self.description.mask_stride for side in masks.shape[-2:])
        return self._post_process(
            scores,
            labels,
            outputs['min_areas'],
            masks,
            upsampled_size=(height, width),
            img_shape=image.img_shape,
            out_size=image.size,
        )
